"""Keys, store, FIFOs, backoff and events: what golden traces do not show."""

from __future__ import annotations

import pytest

from sim.clientgo.backoff import Backoff, reflector_backoff
from sim.clientgo.correlator import Event, EventCorrelator
from sim.clientgo.delta_fifo import DeltaFIFO
from sim.clientgo.deltas import DeltaType
from sim.clientgo.keys import (
    DeletedFinalStateUnknown,
    ExplicitKey,
    ObjectMeta,
    deletion_handling_meta_namespace_key,
    meta_namespace_key,
    split_meta_namespace_key,
)
from sim.clientgo.real_fifo import BATCH_SIZE, RealFIFO
from sim.clientgo.store import Store
from sim.streams import Stream
from sim.units import MINUTE, SECOND


@pytest.mark.parametrize(
    ("obj", "key"),
    [
        (ObjectMeta(), ""),
        (ObjectMeta("default"), "default/"),
        (ObjectMeta("", "a"), "a"),
        (ObjectMeta("default", "a"), "default/a"),
        (ExplicitKey("x"), "x"),
    ],
)
def test_degenerate_keys(obj: object, key: str) -> None:
    assert meta_namespace_key(obj) == key
    assert deletion_handling_meta_namespace_key(obj) == key


def test_keys_of_tombstones_and_of_nothing() -> None:
    assert deletion_handling_meta_namespace_key(DeletedFinalStateUnknown("ns/a", None)) == "ns/a"
    with pytest.raises(ValueError, match="object has no meta"):
        meta_namespace_key(DeletedFinalStateUnknown("ns/a", None))
    with pytest.raises(ValueError, match="object has no meta"):
        meta_namespace_key(None)


def test_splitting_keys() -> None:
    assert split_meta_namespace_key("") == ("", "")
    assert split_meta_namespace_key("a") == ("", "a")
    assert split_meta_namespace_key("ns/") == ("ns", "")
    with pytest.raises(ValueError, match='unexpected key format: "a/b/c"'):
        split_meta_namespace_key("a/b/c")


def test_indices_follow_and_empty_values_disappear() -> None:
    def by_namespace(obj: object) -> list[str]:
        assert isinstance(obj, ObjectMeta)
        return [obj.namespace]

    store = Store(indexers={"namespace": by_namespace})
    store.add(ObjectMeta("x", "a"))
    store.add(ObjectMeta("x", "b"))
    store.add(ObjectMeta("y", "c"))
    assert store.index_keys("namespace", "x") == ["x/a", "x/b"]
    assert store.index("namespace", ObjectMeta("x", "new")) == [ObjectMeta("x", "a"), ObjectMeta("x", "b")]
    store.delete(ObjectMeta("y", "c"))
    assert store.list_index_func_values("namespace") == ["x"]
    store.replace([ObjectMeta("z", "d")])
    assert store.by_index("namespace", "z") == [ObjectMeta("z", "d")]
    store.add_indexers({"uid": lambda obj: ["u1", "u2"]})
    assert store.index_keys("uid", "u2") == ["z/d"]
    with pytest.raises(ValueError, match="indexer conflict: uid"):
        store.add_indexers({"uid": lambda obj: []})
    with pytest.raises(ValueError, match="Index with name x does not exist"):
        store.by_index("x", "")


def test_the_initial_list_is_marked() -> None:
    store = Store()
    for fifo in (DeltaFIFO(store, emit_delta_type_replaced=True), RealFIFO(store)):
        fifo.replace([ObjectMeta("", "a"), ObjectMeta("", "b")])
        assert not fifo.has_synced
        popped = [fifo.pop(), fifo.pop()]
        assert [p.is_in_initial_list for p in popped if p] == [True, True]
        assert fifo.has_synced
        fifo.update(ObjectMeta("", "a"))
        last = fifo.pop()
        assert last is not None
        assert not last.is_in_initial_list


def test_updates_are_not_merged_but_adjacent_deletes_are() -> None:
    fifo = DeltaFIFO()
    a = ObjectMeta("", "a", "", "1")
    for change in (fifo.add, fifo.update, fifo.update, fifo.delete, fifo.delete):
        change(a)
    popped = fifo.pop()
    assert popped is not None
    assert [delta.type for delta in popped.deltas] == ["Added", "Updated", "Updated", "Deleted"]


def test_a_batch_has_distinct_keys_and_a_limit() -> None:
    fifo = RealFIFO(Store())
    for i in range(BATCH_SIZE + 5):
        fifo.add(ObjectMeta("", str(i)))
    assert len(fifo.pop_batch()) == BATCH_SIZE
    fifo.update(ObjectMeta("", str(BATCH_SIZE)))
    assert [popped.deltas[0].type for popped in fifo.pop_batch()] == [DeltaType.ADDED] * 5
    assert len(fifo) == 1


def test_the_reflector_waits_30_to_60_seconds_in_the_end_and_starts_over_after_two_quiet_minutes() -> None:
    backoff = reflector_backoff(0, Stream(1, "reflector"))
    waits, now, last = [], 0, 0
    for _ in range(200):
        waits.append(backoff.next(now))
        last, now = now, now + waits[-1]
    assert 0.8 * SECOND <= waits[0] < 1.6 * SECOND
    assert min(waits[10:]) >= 30 * SECOND
    assert 59 * SECOND < max(waits[10:]) < 60 * SECOND
    assert backoff.next(last + 2 * MINUTE) >= 30 * SECOND
    assert backoff.next(last + 4 * MINUTE + 1) < 1.6 * SECOND


def test_a_backoff_whose_steps_are_used_up_stays() -> None:
    retry = Backoff(10, factor=5.0, steps=4)
    assert [retry.step() for _ in range(6)] == [10, 50, 250, 1250, 6250, 6250]


def event(message: str) -> Event:
    return Event("kubelet", "Pod", "ns", "a", "Failed", message)


def test_a_hot_loop_with_one_message_writes_25_events_then_one_in_300_seconds() -> None:
    correlator = EventCorrelator()
    results = [correlator.correlate(second * SECOND, event("same")) for second in range(3000)]
    written = [result for result in results if not result.skip]
    assert len(written) == 25 + 2999 // 300
    assert [result.patch for result in written] == [False] + [True] * 33
    assert written[-1].event is not None
    assert written[-1].event.count == 2701


def test_from_the_tenth_message_on_events_are_combined() -> None:
    correlator = EventCorrelator(burst=100)
    results = [correlator.correlate(i, event(f"message {i}")) for i in range(12)]
    assert [result.patch for result in results] == [False] * 10 + [True] * 2
    assert [result.event.count for result in results[9:] if result.event] == [1, 2, 3]
    assert results[9].event is not None
    assert results[9].event.message == "(combined from similar events): message 9"


def test_which_message_a_full_aggregate_forgets_can_be_drawn() -> None:
    correlator = EventCorrelator(burst=10**6, max_events=3, stream=Stream(1, "events"))
    combined = 0
    for i in range(300):
        result = correlator.correlate(i, event("ab"[i % 2] if i % 3 else f"m{i}"))
        combined += result.event is not None and result.event.message.startswith("(combined")
    assert 0 < combined < 300
