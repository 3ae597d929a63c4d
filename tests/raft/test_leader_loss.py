"""The scenario `leader-loss`: what each cause costs, against what is known of it."""

from __future__ import annotations

import pytest

import sim
from sim.simulation import run_variant
from sim.units import SECOND


@pytest.fixture(scope="module")
def figures() -> dict[str, dict[str, float | None]]:
    scenario = sim.load("leader-loss")
    return {name: run_variant(scenario, name, horizon=20 * SECOND).metrics for name in scenario.variant_names()}


def test_who_loses_the_lead(figures: dict[str, dict[str, float | None]]) -> None:
    kept = {name for name, found in figures.items() if not found["etcd.leader_changes"]}
    assert kept == {"calm", "short-stall", "follower", "patient"}


@pytest.mark.parametrize("variant", ["stall", "pause", "crash", "partition"])
def test_the_time_without_a_leader_is_an_election_timeout(figures: dict[str, dict[str, float | None]], variant: str) -> None:
    without = figures[variant]["etcd.leaderless_seconds"]
    assert without is not None
    assert 0.9 < without < 1.95


def test_without_a_quorum_nobody_leads_until_the_others_are_back(figures: dict[str, dict[str, float | None]]) -> None:
    without = figures["followers"]["etcd.leaderless_seconds"]
    assert without is not None
    assert 6 < without < 6 + 1.95


def test_each_member_reports_its_own(figures: dict[str, dict[str, float | None]]) -> None:
    stall = figures["stall"]
    assert stall["members.a.wal_fsync_seconds.max"] == pytest.approx(1.8, abs=0.01)
    assert max(stall[f"members.{name}.wal_fsync_seconds.max"] or 9 for name in "bc") < 0.1
    written = [stall[f"members.{name}.wal_bytes_written"] or 0.0 for name in "abc"]
    assert max(written) < 1.1 * min(written)
    assert stall["etcd.wal_bytes_on_disk"] == 128_000_000
