"""Corners that recorded traces do not reach: whom a call wakes, when a drain is over, what a shutdown leaves, exact floats.

Each stands for a wrong variant of the code that every other test of this folder let pass. The rules are those of client-go v0.37.2
(util/workqueue/queue.go, delaying_queue.go; tools/cache/delta_fifo.go, the_real_fifo.go), controller-runtime v0.25.2
(pkg/controller/priorityqueue) and golang.org/x/time v0.16.0 (rate/rate.go).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from sim.clientgo.backoff import Backoff
from sim.clientgo.correlator import COMBINED_PREFIX, Event, EventCorrelator
from sim.clientgo.delaying import DelayingQueue
from sim.clientgo.delta_fifo import DeltaFIFO
from sim.clientgo.deltas import DeltaType
from sim.clientgo.keys import ObjectMeta
from sim.clientgo.limiters import ItemExponentialFailure
from sim.clientgo.priority_queue import PriorityQueue
from sim.clientgo.priority_queue_022 import PriorityQueue022
from sim.clientgo.rate_limiting import RateLimitingQueue
from sim.clientgo.real_fifo import BATCH_SIZE, RealFIFO
from sim.clientgo.store import Store
from sim.clientgo.workqueue import Queue
from sim.ratelimit.bucket import Reservation, TokenBucket
from sim.units import MILLISECOND, SECOND

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
BUCKET_TRACES = sorted((GOLDEN / "ratelimit.bucket").glob("foreign-*.jsonl"))


def _limited(make: Callable[[ItemExponentialFailure], RateLimitingQueue | PriorityQueue]) -> RateLimitingQueue | PriorityQueue:
    return make(ItemExponentialFailure(5 * MILLISECOND, SECOND))


def _obtainable(queue: RateLimitingQueue | PriorityQueue, now: int) -> int:
    """How many keys as many workers could get at this moment."""
    copy, keys = deepcopy(queue), 0
    while copy.get(now) is not None:
        keys += 1
    return keys


@pytest.mark.parametrize("make", [RateLimitingQueue, PriorityQueue, PriorityQueue022])
@pytest.mark.parametrize("seed", range(3))
def test_a_call_wakes_a_worker_exactly_when_there_is_one_more_key_to_get(
    make: Callable[[ItemExponentialFailure], RateLimitingQueue | PriorityQueue], seed: int
) -> None:
    random, queue, now = Random(seed), _limited(make), 0
    held: list[object] = []
    for _ in range(400):
        before = _obtainable(queue, now)
        now += random.choice([0, 0, 1, 5 * MILLISECOND, SECOND])
        woken = int(queue.advance(now))
        assert _obtainable(queue, now) - before == woken
        before = _obtainable(queue, now)
        key, delay, priority = random.choice("abcde"), random.choice([0, 1, 5 * MILLISECOND]), random.choice([-100, 0, 9])
        match random.choice(["add", "after", "limited", "get", "get", "done", "done"]):
            case "add":
                woken = queue.add(now, key, priority)
            case "after":
                woken = queue.add_after(now, key, delay, priority)
            case "limited":
                woken = queue.add_rate_limited(now, key, priority)
            case "done" if held:
                woken = queue.done(now, held.pop(random.randrange(len(held))))
            case "get" if (got := queue.get(now)) is not None:
                held.append(got)
                continue
            case _:
                continue
        assert _obtainable(queue, now) - before == woken


def test_letting_go_of_a_key_that_nobody_holds_wakes_nobody() -> None:
    queue = PriorityQueue()
    queue.add(0, "a")
    assert not queue.done(1, "a")
    assert not queue.done(1, "b")


def test_a_drain_waits_for_held_keys_but_not_for_queued_ones() -> None:
    queue = Queue()
    for key in "abc":
        queue.add(0, key)
    first, second = queue.get(1), queue.get(1)
    queue.shut_down_with_drain(2)
    assert not queue.drained
    queue.done(3, first)
    assert not queue.drained
    queue.done(3, second)
    assert queue.drained
    assert len(queue) == 1


@pytest.mark.parametrize("with_drain", [False, True])
def test_what_waits_is_gone_after_a_shutdown(with_drain: bool) -> None:
    for queue in (DelayingQueue(), PriorityQueue()):
        queue.add_after(0, "a", SECOND)
        assert queue.next_due() == SECOND
        if with_drain:
            queue.shut_down_with_drain(1)
        else:
            queue.shut_down(1)
        assert queue.next_due() is None
        assert queue.advance(2 * SECOND) == 0
        assert len(queue) == 0


def test_raising_a_ready_key_does_not_start_its_wait_anew() -> None:
    waits: list[int] = []
    queue = PriorityQueue(on_queue_duration=waits.append)
    queue.add(0, "a", -100)
    queue.add(5, "a", 7)
    assert queue.get(9) == "a"
    assert waits == [9]


def test_a_key_pulled_forward_again_and_again_loses_nobody() -> None:
    """Each pull leaves a stale entry behind; throwing these away must leave the live ones."""
    queue = PriorityQueue()
    queue.add_after(0, "first", SECOND)
    for pull in range(500):
        queue.add_after(0, "pulled", SECOND - pull)
    queue.add_after(0, "last", SECOND)
    assert queue.next_due() == SECOND - 499
    assert queue.advance(SECOND) == 3
    assert [queue.get(SECOND) for _ in range(4)] == ["pulled", "first", "last", None]


def _pod(name: str, version: str = "1") -> ObjectMeta:
    return ObjectMeta("ns", name, "", version)


def test_the_deletion_of_an_unknown_object_counts_as_a_first_event() -> None:
    """Delete sets populated before it looks whether anybody knows the object, so the FIFO has synced and stays so."""
    fifo = DeltaFIFO(Store())
    fifo.delete(_pod("a"))
    assert len(fifo) == 0
    assert fifo.has_synced
    fifo.replace([_pod("b")])
    assert fifo.has_synced


def test_a_batch_ends_with_the_initial_list() -> None:
    fifo = RealFIFO(Store())
    fifo.replace([_pod("a"), _pod("b")])
    fifo.add(_pod("c"))
    batch = fifo.pop_batch()
    assert [popped.key for popped in batch] == ["ns/a", "ns/b"]
    assert all(popped.is_in_initial_list for popped in batch)
    assert fifo.has_synced
    assert [(popped.key, popped.is_in_initial_list) for popped in fifo.pop_batch()] == [("ns/c", False)]


def test_a_batch_has_at_most_a_thousand_keys() -> None:
    fifo = RealFIFO(Store())
    fifo.replace([_pod(f"p{i}") for i in range(2500)])
    assert [len(fifo.pop_batch()) for _ in range(3)] == [BATCH_SIZE, BATCH_SIZE, 500]
    assert BATCH_SIZE == 1000
    assert fifo.has_synced


def test_a_relist_tells_deletions_of_pending_and_known_objects_before_what_it_lists() -> None:
    known = Store()
    known.add(_pod("known"))
    fifo = RealFIFO(known)
    fifo.add(_pod("pending"))
    fifo.delete(_pod("gone"))
    fifo.replace([_pod("listed")])
    told = [(popped.key, popped.deltas[0].type) for popped in iter(fifo.pop, None)]
    assert told == [
        ("ns/pending", DeltaType.ADDED),
        ("ns/gone", DeltaType.DELETED),
        ("ns/pending", DeltaType.DELETED),
        ("ns/known", DeltaType.DELETED),
        ("ns/listed", DeltaType.REPLACED),
    ]


def test_a_relist_leaves_no_value_of_the_old_objects_in_an_index() -> None:
    store = Store(indexers={"namespace": lambda obj: [obj.namespace]})  # type: ignore[attr-defined]
    store.add(_pod("a"))
    store.replace([ObjectMeta("other", "b")])
    assert store.list_index_func_values("namespace") == ["other"]
    assert store.index_keys("namespace", "ns") == []


def test_of_two_listed_objects_with_one_key_the_later_stays() -> None:
    store = Store()
    store.replace([_pod("a", "1"), _pod("a", "2")])
    assert store.get_by_key("ns/a") == _pod("a", "2")


def test_a_duration_that_meets_the_cap_exactly_is_not_capped() -> None:
    """Steps end when the duration would exceed the cap, so a factor below 1 goes on."""
    backoff = Backoff(1000, factor=0.5, steps=5, cap=500)
    assert [backoff.step() for _ in range(4)] == [1000, 500, 250, 125]


def test_a_message_that_an_aggregate_still_remembers_is_not_combined() -> None:
    """Go forgets one at random, ours the one seen first: of two, the second remains."""
    correlator = EventCorrelator(max_events=2)
    told = []
    for message in ("first", "second", "second", "first"):
        event = correlator.correlate(0, Event("kubelet", "Pod", "ns", "a", "Failed", message)).event
        assert event is not None
        told.append((event.message, event.count))
    assert told == [("first", 1), (COMBINED_PREFIX + "second", 1), ("second", 1), (COMBINED_PREFIX + "first", 2)]


@pytest.mark.parametrize("path", BUCKET_TRACES, ids=lambda path: path.stem)
def test_a_bucket_agrees_with_go_to_the_last_bit(path: Path) -> None:
    """`conform` allows 1 ns and 1e-9 tokens; the arithmetic needs neither (traces recorded on amd64)."""
    header, *calls = map(json.loads, path.read_text().splitlines())
    bucket = TokenBucket(float(header["config"]["rate"]), header["config"]["burst"])
    reservations: list[Reservation] = []
    for call in calls:
        now, op, args, out = call["at"], call["op"], call["args"], call["out"]
        match op:
            case "reserve" | "reserve_n":
                reservations.append(bucket.reserve_n(now, *(args or [1])))
                assert (reservations[-1].ok, reservations[-1].delay) == (out["ok"], out["delay_ns"])
            case "allow" | "allow_n":
                assert bucket.allow_n(now, *(args or [1])) == out["ok"]
            case "cancel":
                bucket.cancel(now, reservations[args[0]])
            case "tokens":
                assert bucket.tokens(now) == out["tokens"]
            case "set_rate":
                bucket.set_rate(now, float(args[0]))
            case "set_burst":
                bucket.set_burst(now, args[0])


def test_a_cancel_while_there_is_no_limit_gives_nothing_back() -> None:
    bucket = TokenBucket(10, 1)
    _, debt = bucket.reserve_n(0, 1), bucket.reserve_n(0, 1)
    bucket.set_rate(0, float("inf"))
    bucket.cancel(0, debt)
    bucket.set_rate(0, 10)
    assert bucket.tokens(0) == -1.0


@pytest.mark.parametrize("seed", range(5))
def test_the_short_way_of_reserve_is_the_long_one_to_the_last_bit(seed: int) -> None:
    random = Random(seed)
    short, long = (TokenBucket(10 / 3, 20) for _ in range(2))
    times = sorted(random.randrange(60 * SECOND) for _ in range(300))
    for earlier, now in pairwise(times):
        assert short.reserve(now) == long.reserve_n(now, 1).delay
        assert short.tokens(now) == long.tokens(now)
        if random.random() < 0.1:
            rate = random.choice([0.1, 1 / 3, 7.0, 1e6])
            short.set_rate(max(now, earlier), rate)
            long.set_rate(max(now, earlier), rate)
