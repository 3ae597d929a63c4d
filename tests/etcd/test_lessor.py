"""Expiry as the lessor does it: rounds, the revokes under way, what a slow disk makes of a storm, keepalives, a promotion."""

from __future__ import annotations

from typing import Any

import pytest

from sim.assembly import World, build
from sim.etcd import wal
from sim.etcd.request import Op
from sim.processes.events import NOTHING, Call
from sim.processes.lessor import Lessor
from sim.scenario.model import from_dict
from sim.simulation import run_variant
from sim.units import MILLISECOND, SECOND


def storm(leases: int, fsync: str, version: str = "3.5.1") -> World:
    """So many leases of 2 s, granted within the first 200 ms; a key each."""
    scenario = from_dict(
        {
            "horizon": "1h",
            "etcd": {
                "version": version, "members": {"a": {"disk": {"fdatasync": fsync, "backend_fdatasync": "100us"}}},
                "compaction": {"by": "never"},
            },
            "apiservers": {},
        }
    )  # fmt: skip
    world = build(scenario, 1)

    def grant(lease: int) -> Any:
        call = Call(world.env, world.leader.propose, 0)
        yield world.env.timeout(lease * 100_000)
        call.op, call.shape, call.lease, call.expected = Op.LEASE_GRANT, NOTHING, lease, 2 * SECOND
        call.data = wal.proposal(wal.lease_grant(2, 1 << 60))
        yield call.send(0, 0)

    for lease in range(1, leases + 1):
        world.env.process(grant(lease))
    return world


def left(world: World, at: int) -> int:
    world.env.advance(at)
    return world.backend.leases_held


def test_three_thousand_leases_that_end_together_go_five_hundred_a_round() -> None:
    """Lab, etcd 3.5.1: 500 per half second, 1,000 a second."""
    world = storm(3000, "20us")
    assert left(world, 2450 * MILLISECOND) == 3000
    counts = [left(world, 2950 * MILLISECOND + number * 500 * MILLISECOND) for number in range(6)]
    assert counts == [2500, 2000, 1500, 1000, 500, 0]
    assert world.lessor.expired == 3000


def test_a_slow_disk_makes_sixteen_revokes_a_save() -> None:
    """16 under way at a time: where a proposal takes 40 ms, 400 a second go, whatever is due."""
    world = storm(3000, "40ms")
    first, second = left(world, 4 * SECOND), left(world, 6 * SECOND)
    assert (first - second) / 2 == pytest.approx(16 / 40e-3, rel=0.1)


def test_newer_versions_commit_at_each_revoke() -> None:
    """3.5.12 and later: a commit of two fdatasyncs in the applier for each lease that goes."""
    commits = {}
    for version in ("3.5.11", "3.5.12"):
        world = storm(400, "20us", version)
        world.env.advance(2400 * MILLISECOND)
        world.backend.advance(2400 * MILLISECOND)
        before = len(world.backend.commits.times)
        left(world, 3500 * MILLISECOND)
        commits[version] = len(world.backend.commits.times) - before
    assert commits["3.5.12"] >= 400
    assert commits["3.5.11"] < 20


def test_who_keeps_a_lease_alive_keeps_it_and_who_is_too_late_does_not() -> None:
    def kept(think: str) -> dict[str, float | None]:
        scenario = from_dict(
            {
                "horizon": "60s", "etcd": {"members": {"a": {"disk": "nvme"}}, "compaction": {"by": "never"}}, "apiservers": {},
                "clients": {"kubelets": {"clients": 20, "op": "keepalive", "lease_ttl": "6s", "think": think}},
            }
        )  # fmt: skip
        return run_variant(scenario, "default").metrics

    alive, late = kept("2s"), kept("8s")
    assert alive["etcd.leases_expired"] == 0
    assert alive["etcd.leases_renewed"] == pytest.approx(20 * 29, abs=20)
    assert alive["etcd.wal_fsyncs"] is not None
    assert alive["etcd.wal_fsyncs"] <= 21  # the grants: a keepalive is no entry
    assert late["etcd.leases_renewed"] == 0
    assert late["etcd.leases_expired"] == pytest.approx(20 * 7, abs=20)


def test_a_promotion_begins_every_lease_anew_and_spreads_many() -> None:
    world = storm(1, "20us")
    lessor = Lessor(world.env, lambda: Call(world.env, world.leader.propose, 0))
    for lease in range(2000):
        lessor.granted(lease, 10 * SECOND, 0)
    lessor.promoted(5 * SECOND)
    ends = sorted(lessor._due.values())
    assert ends[0] == 5 * SECOND + 11 * SECOND
    for second in range(4):
        begins = ends[0] + second * SECOND
        assert sum(begins <= end < begins + SECOND for end in ends) <= 751
    few = Lessor(world.env, lambda: Call(world.env, world.leader.propose, 0))
    for lease in range(999):
        few.granted(lease, 10 * SECOND, 0)
    few.promoted(5 * SECOND)
    assert set(few._due.values()) == {16 * SECOND}
