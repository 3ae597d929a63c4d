"""The performance table of etcd's documentation: two rows fitted, five predicted (docs/validate.md shows them)."""

from __future__ import annotations

import pytest

import sim

PUBLISHED = {
    "put-1": 583, "put-1000": 44_341, "put-all": 50_104, "get-1": 1_353, "get-1000": 141_578, "get-serializable-1": 2_909,
    "get-serializable-1000": 185_758,
}  # fmt: skip
"""Requests per second: etcd.io, docs/op-guide/performance."""
FITTED = ("put-1000", "get-serializable-1")
WITHIN = {"put-1": 0.3, "put-all": 0.1, "get-1": 0.1, "get-1000": 0.5, "get-serializable-1000": 0.15}
"""What the prediction reaches; the disk of the published machine is not known, nor what a quorum costs a thousand readers there."""


@pytest.fixture(scope="module")
def rates() -> dict[str, float]:
    scenario = sim.load("etcd-benchmarks")
    runs = sim.run(scenario)
    seconds = scenario.horizon / 1e9
    return {name: (run.metrics["etcd.request_seconds.count"] or 0) / seconds for name, run in runs.items()}


def test_fitted_rows_fit(rates: dict[str, float]) -> None:
    for name in FITTED:
        assert rates[name] == pytest.approx(PUBLISHED[name], rel=0.04), name


@pytest.mark.parametrize("name", WITHIN)
def test_other_rows_are_predicted(name: str, rates: dict[str, float]) -> None:
    assert rates[name] == pytest.approx(PUBLISHED[name], rel=WITHIN[name])


def test_a_thousand_clients_fill_the_server(rates: dict[str, float]) -> None:
    """Little's law, as the published text has it: 1000 clients at 44,341 a second wait 22 ms each."""
    run = next(iter(sim.run(sim.load("etcd-benchmarks").variant("put-1000")).values()))
    assert run.metrics["etcd.request_seconds.mean"] == pytest.approx(1000 / rates["put-1000"], rel=0.06)
    assert run.metrics["etcd.request_seconds.mean"] == pytest.approx(0.022, rel=0.1)
