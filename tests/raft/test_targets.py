"""Clients of etcd that ask members of their own: what a follower hands on, when it answers, and what a fault does to them."""

from __future__ import annotations

from typing import Any

import pytest

import sim
from sim.errors import InputError
from sim.result import Run
from sim.scenario import from_dict

RTT = 0.010
DISK = {"fdatasync": {"constant": "1ms"}, "bandwidth": "10GB/s"}


def declared(target: str = "leader", op: str = "put_new", horizon: str = "2s", clients: int = 1, **more: Any) -> dict[str, Any]:
    fields = more.pop("load", {})
    return {
        "horizon": horizon,
        "etcd": {
            "members": {name: {"disk": DISK, "machine": name} for name in "abc"}, "network": {"rtt": "10ms", "jitter": "0s"},
            "compaction": {"by": "never"}, **more.pop("etcd", {}),
        },
        "machines": {name: {"cores": "off"} for name in "abc"},
        "apiservers": {},
        "clients": {"load": {"clients": clients, "op": op, "target": target, "rtt": "1ms", **fields}},
        **more,
    }  # fmt: skip


def run(*arguments: Any, **more: Any) -> Run:
    return next(iter(sim.run(from_dict(declared(*arguments, **more))).values()))


def latency(target: str, op: str) -> float:
    return run(target, op).metrics["etcd.request_seconds.p50"] or 0.0


@pytest.mark.parametrize(
    ("op", "farther"),
    [("put_new", RTT), ("put_over", RTT), ("get", RTT), ("list", RTT), ("get_serializable", 0)],
)  # fmt: skip
def test_how_much_farther_a_follower_is(op: str, farther: float) -> None:
    """The proposal and the news of its commit travel half a round trip each; so do the question for the index and its answer."""
    assert latency("follower", op) - latency("leader", op) == pytest.approx(farther, abs=0.0005)


def test_clients_of_all_members_are_answered_by_theirs() -> None:
    m = run("all", clients=3).metrics
    assert m["etcd.request_seconds.max"] - m["etcd.request_seconds.p50"] < 0.004
    fast, slow = run("leader").metrics, run("follower").metrics
    counts = [one["etcd.request_seconds.count"] or 0 for one in (m, fast, slow)]
    assert counts[0] == pytest.approx(counts[1] + 2 * counts[2], rel=0.05)


def test_what_is_answered_is_in_the_store() -> None:
    m = run("all", clients=7).metrics
    assert 0 <= (m["etcd.keys_created"] or 0) - (m["etcd.request_seconds.count"] or 0) <= 7


def test_a_follower_applies_half_a_round_trip_later() -> None:
    m = run("follower").metrics
    assert m["members.b.apply_lag_seconds.p50"] == pytest.approx(RTT / 2, rel=0.1)
    assert "members.a.apply_lag_seconds.p50" not in m


def test_a_slow_database_delays_only_the_clients_of_its_own_member() -> None:
    stalls = {"slow": {"kind": "disk_stall", "target": "members.b.backend", "at": "500ms", "for": "600ms"}}
    for target, worst in (("leader", False), ("follower", True)):
        m = run(target, clients=2, faults=stalls, horizon="1500ms").metrics
        assert ((m["etcd.request_seconds.max"] or 0) > 0.4) is worst
    behind = run("all", clients=3, faults=stalls, horizon="1500ms").metrics
    assert (behind["members.b.apply_lag_seconds.max"] or 0) > 0.4 > 10 * (behind["members.c.apply_lag_seconds.max"] or 0)


def test_a_paused_follower_answers_after_its_pause_and_a_crashed_one_breaks_its_connections() -> None:
    at = {"target": "members.b", "at": "500ms", "for": "700ms"}
    paused = run("follower", clients=2, faults={"fault": {"kind": "pause", **at}}).metrics
    assert paused["etcd.request_seconds.max"] == pytest.approx(0.7, abs=0.05)
    crashed = run("follower", clients=2, faults={"fault": {"kind": "crash", **at}}, load={"think": "20ms"}).metrics
    assert (crashed["etcd.request_seconds.max"] or 0) < 0.1
    assert (crashed["etcd.request_seconds.p50"] or 0) > 0.02


def test_clients_of_followers_go_on_with_the_next_leader() -> None:
    """What was on its way to the leader that crashed is lost: its caller hears of the time-out, and asks again."""
    fault = {"fault": {"kind": "crash", "target": "leader", "at": "300ms", "for": "20s"}}
    more = {"load": {"think": {"median": "5ms", "p99": "30ms"}}, "etcd": {"request_timeout": "3s"}}
    m = run("follower", clients=40, horizon="4s", faults=fault, **more).metrics
    assert m["etcd.leader_changes"] == 1
    assert 1 <= (m["etcd.proposals_failed"] or 0) <= 40
    assert m["etcd.request_seconds.max"] == pytest.approx(3, abs=0.1)
    calm = run("follower", clients=40, horizon="1s", **more).metrics
    assert (m["etcd.keys_created"] or 0) > 2.2 * (calm["etcd.keys_created"] or 0)


@pytest.mark.parametrize("at", ["503ms", "506ms", "515ms", "527ms"])  # the question, the heartbeat or the answer is under way
def test_reads_of_followers_go_on_after_a_cut(at: str) -> None:
    """A heartbeat that no quorum will answer does not keep the round: it is asked again, at whoever leads then."""
    faults = {f"cut-{name}": {"kind": "partition", "link": f"a-{name}", "at": at, "for": "20s"} for name in "bc"}
    m = run("follower", "get", horizon="4s", clients=4, faults=faults).metrics
    assert m["etcd.leader_changes"] == 1
    assert (m["etcd.request_seconds.max"] or 0) < 2
    assert (m["etcd.request_seconds.count"] or 0) > 300


def test_a_followers_client_pays_what_a_leaders_does() -> None:
    """Waking the goroutines on an answer's way, and a transaction's own cost: the same at both."""
    for costs in ({"handoff": "3ms"}, {"request": "2ms"}):
        more = {"etcd": {"costs": costs}}
        dearer = [run(target, **more).metrics["etcd.request_seconds.p50"] or 0.0 for target in ("leader", "follower")]
        plain = [latency(target, "put_new") for target in ("leader", "follower")]
        added = [one - other for one, other in zip(dearer, plain, strict=True)]
        assert added[1] == pytest.approx(added[0], rel=0.1)
        assert added[0] > 0.001


def test_a_storm_asks_members_in_turn() -> None:
    means = {}
    for target in ("leader", "follower", "all"):
        described = declared(load={"think": "10s"}, horizon="1200ms")
        described["workloads"] = {"storm": {"object": "pod", "rate": "300/s", "for": "1s", "target": target}}
        m = next(iter(sim.run(from_dict(described)).values())).metrics
        assert m["storm.accepted"] == m["storm.offered"] > 200
        means[target] = m["etcd.request_seconds.mean"] or 0
    assert means["follower"] > means["leader"] + 0.9 * RTT
    assert means["all"] == pytest.approx((means["leader"] + 2 * means["follower"]) / 3, rel=0.05)


REFUSED = {
    "clients.load.target": declared("nobody"),
    'clients.load.target: "follower" is not allowed: there is one member': declared(
        "follower", etcd={"members": {"a": {}}}, machines={}
    ),
    'clients.load.target: "all" is not allowed with op keepalive; write leader': declared("all", "keepalive"),
    'workloads.storm.target: "all" is not allowed as cohorts': declared(
        workloads={"storm": {"kind": "storm", "object": "pod", "rate": 1, "for": "1s", "target": "all", "as": "cohorts"}}
    ),
    'clients.load.target: "all" is not allowed: guards.limiter stands before the leader': declared(
        "all", guards={"limiter": {"kind": "write_limiter", "at": "etcd", "rate": 100}}
    ),
}


@pytest.mark.parametrize("told", REFUSED)
def test_whom_nobody_can_ask(told: str) -> None:
    with pytest.raises(InputError) as refused:
        from_dict(REFUSED[told])
    assert told in str(refused.value)
