"""etcd's own auto-compaction: when it compacts, and to which revision, as its source says."""

from __future__ import annotations

from typing import Any

import pytest

from sim.assembly import build
from sim.assembly.cluster import Cluster
from sim.etcd.request import Op
from sim.processes.events import Call
from sim.scenario.model import from_dict
from sim.units import HOUR, MINUTE, SECOND, Nanoseconds


def compactions(
    compaction: dict[str, Any], horizon: Nanoseconds, version: str = "3.5.33", writes: bool = True
) -> list[tuple[float, int]]:
    """When compactions are asked for, in seconds, and to which revision: one key is written a second, from 0.5 s on."""
    scenario = from_dict(
        {
            "horizon": horizon // SECOND,
            "etcd": {"version": version, "members": {"a": {"disk": "nvme"}}, "compaction": compaction},
            "apiservers": {},
        }
    )
    world = build(scenario, 1)
    asked = []
    propose = world.leader.propose

    def noted(call: Call) -> None:
        if call.op is Op.COMPACT:
            asked.append((round(world.env._now / SECOND, 1), call.expected))
        propose(call)

    world.leader.propose = noted  # type: ignore[method-assign]
    shape = next(iter(world.shapes.values()))

    def write() -> Any:
        call = Call(world.env, propose, 0)
        call.op, call.shape, call.data = Op.PUT_ONCE, shape, shape.put_data
        yield world.env.timeout(SECOND // 2)
        while writes:
            yield call.send(0, 0)
            yield world.env.timeout(SECOND - (world.env._now - SECOND // 2) % SECOND)

    if writes:
        world.env.process(write())
    world.env.advance(horizon)
    return asked


def revision(seconds: float) -> int:
    """The store's revision after so many seconds."""
    return 1 + int(seconds + 0.5)


@pytest.fixture(autouse=True)
def calls_go_through_the_leader_as_it_is_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call is made with the leader's method of that moment: made late enough to see the test's own."""

    def call(self: Cluster, writer: str) -> Call:
        return Call(self.ground.env, lambda call: self.leader.propose(call), self.ground.writer(writer))

    monkeypatch.setattr(Cluster, "call", call)


def test_periodic_compacts_each_period_to_the_revision_of_a_period_ago() -> None:
    found = compactions({"by": "periodic", "retention": "10m"}, 35 * MINUTE)
    assert [at for at, _ in found] == [pytest.approx(600 * n, abs=1) for n in (1, 2, 3)]
    assert [to for _, to in found] == [revision(seconds) for seconds in (0, 540, 1140)]  # the first of 11 samples


def test_a_period_of_hours_waits_for_it_and_then_compacts_hourly() -> None:
    found = compactions({"by": "periodic", "retention": "3h"}, 5 * HOUR + MINUTE)
    assert [at / 3600 for at, _ in found] == [pytest.approx(n, abs=0.01) for n in (3, 4, 5)]
    assert [to for _, to in found] == [revision(minutes * 60) for minutes in (0, 54, 114)]  # of 31 samples, one every 6 minutes


def test_until_3_6_it_compacts_again_where_nothing_was_written() -> None:
    assert len(compactions({"by": "periodic", "retention": "5m"}, 21 * MINUTE, "3.5.33", False)) == 4
    assert len(compactions({"by": "periodic", "retention": "5m"}, 21 * MINUTE, "3.6.14", False)) == 1


def test_revision_mode_looks_every_five_minutes_and_keeps_so_many() -> None:
    found = compactions({"by": "revision", "retention": 400}, 16 * MINUTE)
    assert found == [(600.0, revision(600) - 400), (900.0, revision(900) - 400)]
