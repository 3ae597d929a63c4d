"""Fleets of workloads: keys, writes and cleaning follow from what each member does, not from a formula."""

from __future__ import annotations

from typing import Any

import pytest

import sim
from sim.simulation import run_variant


def simulated(scenario: str, variant: str, **change: Any) -> dict[str, float | None]:
    """Figures of one variant; the names of changes have `__` for dots."""
    changes = {path.replace("__", "."): value for path, value in change.items()}
    return run_variant(sim.load(scenario, set=changes), variant).metrics


@pytest.mark.parametrize(("variant", "keys"), [("n1", 12), ("n5", 140), ("n8", 8 * 8 + 4 * 8**2)])
def test_keys_are_square_where_each_controller_brings_a_namespace(variant: str, keys: int) -> None:
    found = simulated("key-growth", variant, horizon="2m", workloads__operators__renew_every="30s")
    assert found["workloads.operators.fleet.keys_listed"] == keys
    assert found["writers.operators.keys_live"] == keys


@pytest.mark.parametrize(("variant", "n"), [("n1-fixed", 1), ("n8-fixed", 8)])
def test_keys_are_a_line_where_namespaces_are_fixed(variant: str, n: int) -> None:
    found = simulated("key-growth", variant, horizon="2m", workloads__operators__renew_every="30s")
    assert found["workloads.operators.fleet.keys_listed"] == 8 * n + 4 * 5 * n


def test_fewer_kinds_make_proportionally_fewer_keys() -> None:
    found = simulated("key-growth", "n5", horizon="2m", workloads__operators__kinds=1)
    assert found["workloads.operators.fleet.keys_listed"] == 2 * 5 + 5**2


def test_renewals_make_revisions_and_no_keys() -> None:
    often, seldom = (
        simulated("key-growth", "n5", horizon="4m", workloads__operators__renew_every=every) for every in ("5s", "60s")
    )
    assert often["workloads.operators.fleet.keys_listed"] == seldom["workloads.operators.fleet.keys_listed"] == 140
    renewals = {name: figures["etcd.puts"] - 140 for name, figures in (("often", often), ("seldom", seldom))}  # type: ignore[operator]
    assert 9 < renewals["often"] / renewals["seldom"] < 16


def test_a_certificate_is_four_puts_and_the_cleaner_takes_its_request_away() -> None:
    figures = {name: simulated("certificate-rotation", name, horizon="5h", workloads__identities__services=2000)
               for name in ("daily", "daily-not-cleaned", "ninety-days")}  # fmt: skip
    issued = {name: found["workloads.identities.fleet.certificates"] or 0 for name, found in figures.items()}
    assert issued["daily"] == pytest.approx(2000 * 5 / (24 * 0.8), rel=0.1)
    assert issued["daily"] == issued["daily-not-cleaned"]
    assert issued["ninety-days"] == pytest.approx(issued["daily"] / 90, abs=8)
    for name, found in figures.items():
        assert found["writers.identities.puts"] == pytest.approx(4 * issued[name], abs=4)
    kept = figures["daily-not-cleaned"]["workloads.identities.fleet.keys_listed"]
    assert kept == pytest.approx(2000 + issued["daily"], abs=2)
    # The last look was at four hours and spared what was issued since three: two hours' worth of five.
    left = (figures["daily"]["workloads.identities.fleet.keys_listed"] or 0) - 2000
    assert left == pytest.approx(issued["daily"] * 2 / 5, rel=0.2)


def test_an_edge_that_sums_up_writes_once_a_window_and_loses_no_measurement() -> None:
    raw, summed = (simulated("edge-telemetry", name, horizon="5m", workloads__meters__devices=40) for name in ("raw", "summed"))
    for found in (raw, summed):
        assert found["workloads.meters.fleet.measurements"] == pytest.approx(12_000, rel=0.01)
    assert raw["writers.meters.puts"] == pytest.approx(12_000, rel=0.01)
    assert 4 * 4 <= (summed["writers.meters.puts"] or 0) <= 4 * 5
