"""The breaker to read-only: its states, the flapping of its published rule, and the two rules that cure it."""

from __future__ import annotations

from typing import Any

import pytest
from guarded_world import ETCD
from hypothesis import given
from hypothesis import strategies as st

import sim
from sim.guards.breaker import CLOSED, HALF_OPEN, OPEN, Breaker
from sim.scenario import from_dict


def opened(rule: str = "as_published") -> Breaker:
    breaker = Breaker(10, 0.6, 3, rule)  # type: ignore[arg-type]
    for number in range(10):
        assert breaker.state is CLOSED
        breaker.access(number, invalid=number % 5 != 0)
    return breaker


def test_it_opens_at_its_share_of_a_full_window_only() -> None:
    assert opened().state is OPEN  # 8 of 10
    breaker = Breaker(10, 0.6, 3)
    for number in range(50):
        breaker.access(number, invalid=number % 2 == 0)  # 5 of 10
    assert breaker.state is CLOSED
    breaker.access(50, True)
    breaker.access(51, True)
    assert (breaker.state, breaker.trips) == (OPEN, 1)


def test_three_good_probes_in_a_row_and_a_trial() -> None:
    breaker = opened()
    for well in (True, True, False, True, True):
        breaker.probe(20, well)
    assert breaker.state is OPEN
    assert not breaker.lets()
    breaker.probe(30, True)
    assert breaker.state is HALF_OPEN
    assert breaker.lets()
    assert not breaker.lets()  # one trial at a time
    breaker.tried(40, False)
    assert breaker.state is OPEN
    for _ in range(3):
        breaker.probe(50, True)
    assert breaker.lets()
    breaker.tried(60, True)
    assert breaker.state is CLOSED
    assert breaker.seconds_open(1_000) == pytest.approx(51e-9)  # from 9 to 60


def closed_again(rule: str) -> Breaker:
    breaker = opened(rule)
    for _ in range(3):
        breaker.probe(30, True)
    assert breaker.lets()
    breaker.tried(40, True)
    assert breaker.state is CLOSED
    return breaker


def test_the_published_rule_opens_again_at_the_next_access() -> None:
    breaker = closed_again("as_published")
    breaker.access(41, True)
    assert (breaker.state, breaker.trips, breaker.reopened) == (OPEN, 2, 1)
    breaker = closed_again("fresh_window")
    for number in range(9):
        breaker.access(41 + number, True)
    assert breaker.state is CLOSED
    breaker.access(60, True)
    assert (breaker.state, breaker.trips, breaker.reopened) == (OPEN, 2, 0)


def test_creates_pass_where_the_rule_says_so() -> None:
    breaker = opened("fills_pass")
    assert breaker.lets(fill=True)
    assert not breaker.lets()
    assert not opened().lets(fill=True)


@given(st.lists(st.booleans(), max_size=200), st.integers(1, 20))
def test_the_share_is_that_of_the_last_accesses(accesses: list[bool], window: int) -> None:
    breaker = Breaker(window, 1.1, 3)
    for number, invalid in enumerate(accesses):
        breaker.access(number, invalid)
        last = accesses[max(0, number + 1 - window) : number + 1]
        assert breaker.invalid_share == pytest.approx(sum(last) / len(last))


def run(readers: dict[str, Any], breaker: dict[str, Any] | None, **sections: Any) -> sim.Run:
    """Readers of a cache for two minutes; the window of 200 takes 2 s at 100/s, the probes three times 5 s."""
    guard = {"kind": "breaker", "objects": ["entry"], "window": 200, "probe": "5s", **(breaker or {})}
    guards = {} if breaker is None else {"breaker": guard}
    data = {
        "horizon": "2m", "etcd": ETCD, "background": {"nodes": 0, "leader_elections": 0}, "guards": guards,
        "objects": {"entry": {"key_bytes": 40, "value_bytes": 100}},
        "workloads": {
            "readers": {"kind": "lookups", "object": "entry", "keys": 700, "every": "10ms", **readers},
            # Somebody has to write where all is filled: half-open lasts until a write has tried.
            "author": {"kind": "writers", "object": "entry", "clients": 1, "think": "1s", "write": {"verb": "merge_patch"}},
        },
        **sections,
    }  # fmt: skip
    return sim.run(from_dict(data), workers=1)["default"]


EMPTY = {"filled": 0}


def test_a_cold_cache_is_kept_cold_by_the_published_rule_and_filled_under_the_others() -> None:
    m = run(EMPTY, None).metrics
    assert m["lookups.fills"] == m["lookups.misses"] <= 710
    published = run(EMPTY, {}).metrics
    # It opens after 2 s, with a quarter of the cache filled. Each 15 s it closes, and the next read opens it again.
    assert published["guards.breaker.reopened"] >= 6
    assert published["guards.breaker.seconds_open"] > 110
    assert published["lookups.fills_refused"] > 10 * 700
    fresh = run(EMPTY, {"rule": "fresh_window"}).metrics
    assert fresh["guards.breaker.reopened"] == 0
    assert fresh["guards.breaker.trips"] <= 2
    assert fresh["guards.breaker.seconds_open"] < 40
    passing = run(EMPTY, {"rule": "fills_pass"}).metrics
    assert passing["lookups.fills_refused"] == 0
    assert passing["guards.breaker.refused"] >= 5  # its author's updates are no fills
    assert passing["lookups.misses"] == m["lookups.misses"]
    assert passing["guards.breaker.seconds_open"] == pytest.approx(15, abs=5.1)


def test_readers_of_nothing_trip_it_and_others_pay() -> None:
    """70% of the lookups ask for what never was: the store is well, and whoever writes is refused for most of the time."""
    authors = {"kind": "writers", "object": "entry", "clients": 5, "objects": 5, "think": "1s", "write": {"verb": "merge_patch"}}
    readers = {"kind": "lookups", "object": "entry", "keys": 700, "every": "10ms", "missing": "75%"}
    tripped = run({}, {}, workloads={"readers": readers, "authors": authors}).metrics
    assert tripped["guards.breaker.trips"] > 3
    assert tripped["lookups.fills"] == 0
    share = tripped["writes.succeeded"] / tripped["writes.requests"]
    assert share == pytest.approx(1 - tripped["guards.breaker.seconds_open"] / 120, abs=0.1)
    assert share < 0.2


def test_a_store_that_only_reads_stays_read_only() -> None:
    """A disk that is frozen from 3 s to 80 s answers reads, and so three probes; but the trial takes 7 s to fail.

    While its save hangs no read is answered either.
    """
    stall = {"stall": {"kind": "disk_stall", "target": "members.a", "at": "3s", "for": "77s"}}
    lone = {**ETCD, "members": {"a": ETCD["members"]["a"]}}
    states = run(EMPTY, {}, faults=stall, etcd=lone).series["guards.breaker.state"]
    frozen = states[(states.index > 3) & (states.index < 80)]
    assert set(frozen) == {HALF_OPEN, OPEN}
    assert (frozen == HALF_OPEN).sum() * 120 / 1920 == pytest.approx(7, abs=0.2)
