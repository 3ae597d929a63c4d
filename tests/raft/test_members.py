"""Members that differ: in their disks, in what they may decide."""

from __future__ import annotations

from typing import Any

import pytest
from cluster_help import DISK, Seen, cluster

import sim
from sim.scenario import from_dict
from sim.simulation import run_variant

SLOW = {"fdatasync": {"constant": "20ms"}, "bandwidth": "110MB/s"}


def test_a_follower_commits_to_its_own_disk() -> None:
    members = {"a": {"disk": DISK}, "b": {"disk": DISK}, "c": {"disk": SLOW}}
    found = run_variant(cluster({}, "5s", members), "default").metrics
    alike, slow = found["members.b.backend_commit_seconds.p50"], found["members.c.backend_commit_seconds.p50"]
    assert alike == pytest.approx(found["etcd.backend_commit_seconds.p50"], rel=0.2)
    assert slow is not None
    assert 0.040 < slow < 0.042  # two fdatasyncs, and some pages
    assert found["members.a.backend_commit_seconds.count"] == found["members.c.backend_commit_seconds.count"]
    assert found["members.c.db_bytes_total"] == found["etcd.db_bytes_total"]


def test_a_learner_has_the_log_but_no_say() -> None:
    members: dict[str, Any] = {name: {"disk": DISK} for name in "abc"}
    members["d"] = {"disk": SLOW, "learner": True}
    faults = {
        "slow": {"kind": "pause", "target": "members.d", "at": "1s", "for": "1s"},
        "gone": {"kind": "crash", "target": "leader", "at": "3s", "for": "9s"},
    }
    seen = Seen(cluster(faults, "8s", members))
    seen.check()
    lead = seen.world.leader
    assert lead.changes == 1
    assert lead.member.name in "bc"
    assert lead.end("d", 8 * 10**9).index > lead.handed - 10
    waits = sorted(lead.commit_waits.take().tolist())
    assert waits[len(waits) // 2] < 10 * 10**6  # its 20 ms are waited for by nobody


def test_two_of_five_may_be_away() -> None:
    away = {name: {"kind": "pause", "target": f"members.{name}", "at": "2s", "for": "3s"} for name in "de"}
    seen = Seen(cluster(away, "6s", members=5))
    seen.check()
    assert seen.world.leader.changes == 0


def test_followers_that_share_the_leaders_cores_slow_it_down() -> None:
    """With `costs.follower` their turns and applies take part of the cores; without, or on machines of their own, they do not."""

    def rate(machines: str, share: float) -> float:
        described = {
            "horizon": "400ms",
            "etcd": {
                "members": {name: {"machine": "same" if machines == "one" else name} for name in "abc"},
                "compaction": {"by": "never"}, "costs": {"follower": share, "wake": "200us"},
            },
            "machines": {name: {"cores": 2} for name in (("same",) if machines == "one" else "abc")},
            "apiservers": {}, "clients": {"load": {"clients": 60}},
        }  # fmt: skip
        return next(iter(sim.run(from_dict(described)).values())).metrics["etcd.request_seconds.count"] or 0

    assert rate("one", 0.5) < 0.9 * rate("one", 0)
    assert rate("three", 0.5) == rate("three", 0)
