"""Reads as load on the same loop, lock and cores: what each kind waits for, and whom it makes wait."""

from __future__ import annotations

from typing import Any

import pytest

from sim.assembly import World, build
from sim.etcd import wal
from sim.etcd.request import Op
from sim.processes.events import NOTHING, Call
from sim.result import Run
from sim.scenario.model import from_dict
from sim.simulation import run_variant
from sim.units import MICROSECOND, MILLISECOND, SECOND, Nanoseconds

COSTS = {
    "request": "60us", "request_per_kib": "0s", "ready": "50us", "entry": "0s", "apply": "30us", "apply_per_kib": "0s",
    "read_key": "7us", "index_key": "300ns", "page_write": "0s",
}  # fmt: skip


def scenario(clients: dict[str, Any], members: int = 1, fsync: str = "1ms", horizon: str = "1s", **etcd: Any) -> Any:
    return from_dict(
        {
            "horizon": horizon,
            "etcd": {
                "members": {name: {"disk": {"fdatasync": fsync, "bandwidth": "8GB/s"}} for name in "abc"[:members]},
                "network": {"rtt": "2ms", "jitter": "0s"}, "compaction": {"by": "never"}, "costs": COSTS, **etcd,
            },
            "apiservers": {},
            "clients": clients,
        }
    )  # fmt: skip


def get(op: str = "get", clients: int = 1, **more: Any) -> dict[str, Any]:
    return {"clients": clients, "op": op, "rtt": "100us", **more}


def run(clients: dict[str, Any], **more: Any) -> Run:
    return run_variant(scenario(clients, **more), "default")


def seconds(run: Run, what: str = "etcd.read_seconds") -> float:
    return run.distributions[what].mean


GET = 7.3e-6
SELDOM = {"quantiles": {0: "0s", 1: "2s"}}
"""So that clients are a stream that does not know what it meets."""


def test_a_get_on_an_idle_member_takes_what_its_parts_take() -> None:
    alone = run({"load": get("get_serializable")})
    assert seconds(alone) == pytest.approx(GET)
    assert seconds(alone, "etcd.request_seconds") == pytest.approx(GET + 160e-6)
    assert seconds(run({"load": get()})) == pytest.approx(GET + 50e-6)  # a turn
    assert seconds(run({"load": get()}, members=3)) == pytest.approx(GET + 2e-3 + 100e-6)  # two turns and a heartbeat


def test_one_round_serves_all_who_came_during_the_last() -> None:
    """A round takes 2.1 ms; 50 clients ask again 0.16 ms after their answer, in the middle of the next: two rounds each."""
    world = build(scenario({"load": get(clients=50)}, members=3), 1)
    world.env.advance(SECOND)
    round_takes = 2e-3 + 100e-6
    assert world.reads.rounds == pytest.approx(1 / round_takes, rel=0.05)
    assert world.reads.served / world.reads.rounds == pytest.approx(25, rel=0.05)


def test_a_linearizable_get_waits_for_the_save_in_progress_and_a_serializable_does_not() -> None:
    """Ten writers keep the log busy, 20 ms a save: a get that comes at any time waits for the rest of one, 10 ms on average."""
    writers = {"clients": 10, "rtt": "100us"}
    disk = {"etcd.members.a.disk": {"fdatasync": "20ms", "backend_fdatasync": "10us"}}
    for op, expected in (("get", 10e-3), ("get_serializable", 0)):
        made = scenario({"writers": writers, "load": get(op, 3, think=SELDOM)}, horizon="60s").with_(disk)
        assert seconds(run_variant(made, "default")) == pytest.approx(expected, rel=0.15, abs=30e-6)


def test_a_read_does_not_begin_while_a_commit_publishes() -> None:
    """A commit of 2 x 30 ms comes 100 ms after the last: a read meets it with probability 60 / 160 and waits 30 ms then."""
    writer = {"clients": 1, "think": "5ms", "rtt": "100us"}
    disk = {"fdatasync": "100us", "backend_fdatasync": "30ms", "bandwidth": "8GB/s"}
    made = scenario({"writer": writer, "load": get("get_serializable", 50, think=SELDOM)}, horizon="40s")
    made = made.with_({"etcd.members.a.disk": disk})
    waited = seconds(run_variant(made, "default")) - GET
    assert waited == pytest.approx(60 / 160 * 30e-3, rel=0.1)


@pytest.mark.parametrize(("keys", "limit"), [(50_000, 0), (50_000, 500), (3000, 700)])
def test_each_page_of_a_list_walks_what_is_left(keys: int, limit: int) -> None:
    """Lab, etcd 3.5.1: 50,000 keys of 1 KiB in 0.35 s; a page of 500 of them in 15 to 22 ms."""
    world = build(scenario({"load": get("list", key_space=keys, list_limit=limit)}), 1)
    pages = -(-keys // limit) if limit else 1
    while world.reads.served < pages:
        world.env.advance(world.env._now + MILLISECOND)
    took = world.reads.durations.take()[:pages] / 1e9
    walked = sum(keys - page * limit for page in range(pages))
    assert took.sum() == pytest.approx(walked * 0.3e-6 + keys * 7e-6 + pages * 50e-6, rel=1e-3)
    if keys == 50_000:
        assert took[0] == pytest.approx(0.36 if not limit else 0.0185, rel=0.05)


def put(world: World, at: Nanoseconds, done: list[Nanoseconds], op: Op = Op.PUT, revision: int = 0) -> Any:
    call = Call(world.env, world.leader.propose, 0)
    call.op, call.key, call.expected = op, "k", revision
    call.shape = NOTHING
    call.data = wal.proposal(wal.compaction(revision)) if op is Op.COMPACT else 100
    yield world.env.timeout(at)
    yield call.send(0, 0)
    done.append(world.env._now - at)


def beside_a_list(limit: int, at: Nanoseconds) -> tuple[World, Nanoseconds]:
    """A list of 50,000 keys that begins at 0.11 ms, and a put at another time: how long that takes."""
    world = build(scenario({"load": get("list", key_space=50_000, list_limit=limit)}, fsync="100us"), 1)
    done: list[Nanoseconds] = []
    world.env.process(put(world, at, done))
    world.env.advance(400 * MILLISECOND)
    return world, done[0]


def test_a_put_waits_for_who_walks_the_index_but_not_for_what_is_looked_up() -> None:
    """The walk takes 15 ms of the list's 365."""
    _, took = beside_a_list(0, MILLISECOND)
    assert took == pytest.approx(14.1 * MILLISECOND, rel=0.03)
    _, took = beside_a_list(0, 100 * MILLISECOND)
    assert took < MILLISECOND


def test_reads_that_begin_while_a_compaction_waits_for_a_list_wait_behind_it() -> None:
    """Lab, etcd 3.5.1: the compaction was answered when the list was done, and so was everything that began meanwhile."""
    world = build(scenario({"load": get("list", key_space=50_000)}, fsync="100us"), 1)
    compacted: list[Nanoseconds] = []
    world.env.process(put(world, 50 * MILLISECOND, compacted, Op.COMPACT, 100))
    took: list[Nanoseconds] = []

    def look(at: Nanoseconds) -> Any:
        read = world.reads.call(0)
        read.linearizable = False
        yield world.env.timeout(at)
        yield read.send(0, 0)
        took.append(world.env._now - at)

    world.env.process(look(40 * MILLISECOND))
    world.env.process(look(100 * MILLISECOND))
    world.env.advance(SECOND)
    assert took[0] < 20 * MICROSECOND
    assert compacted[0] == pytest.approx(315 * MILLISECOND, rel=0.02)
    assert took[1] == pytest.approx(265 * MILLISECOND, rel=0.02)


def test_reads_take_cores_from_writers() -> None:
    """100 readers keep two cores busy: writers get what is left of them."""
    machines = {"m": {"cores": 2}}
    rates = []
    for readers in (1, 100):
        made = scenario({"writers": {"clients": 100, "rtt": "100us"}, "readers": get("get_serializable", readers)}, fsync="100us")
        data = made.model_dump(mode="json", by_alias=True)
        data["machines"], data["etcd"]["members"]["a"]["machine"] = machines, "m"
        rates.append(run_variant(from_dict(data), "default").metrics["etcd.puts"] or 0)
    assert rates[1] < 0.7 * rates[0]


def test_a_read_of_an_api_server_waits_and_costs_like_a_raw_one() -> None:
    """Two turns and a heartbeat; what is proposed when it walks waits for the index."""
    world = build(scenario({}, members=3), 1)
    heard: list[tuple[Nanoseconds, Nanoseconds]] = []
    world.reads.fetch(MILLISECOND, 0, 100_000, 10, lambda begun, ended: heard.append((begun, ended)))
    put = Call(world.env, world.leader.propose, 0)
    put.op, put.shape, put.data = Op.PUT_ONCE, NOTHING, wal.proposal(wal.put(20, 100))
    world.env.process(_sent(put, 2 * MILLISECOND))
    world.env.advance(SECOND)
    begun = MILLISECOND + 2 * MILLISECOND + 100 * MICROSECOND
    [found] = heard
    assert found == pytest.approx((begun, begun + 30 * MILLISECOND + 70 * MICROSECOND), abs=MICROSECOND)
    assert world.reads.served == 1
    assert put.done == pytest.approx(begun + 30 * MILLISECOND + 30 * MICROSECOND, abs=MICROSECOND)


def test_a_round_that_no_quorum_answers_asks_again() -> None:
    """The leader is cut off for good: the next one answers."""
    made = scenario({"load": get(think="20ms")}, members=3, horizon="20s")
    cut = {"kind": "partition", "at": "5s", "for": "14s"}
    made = made.with_({"faults.ab": {**cut, "link": "a-b"}, "faults.ac": {**cut, "link": "a-c"}})
    world = build(made, 1)
    world.env.advance(5 * SECOND)
    before = world.reads.served
    world.env.advance(12 * SECOND)
    assert world.reads.served > before + 100


def _sent(call: Call, at: Nanoseconds) -> Any:
    yield call.send(at, 0)
