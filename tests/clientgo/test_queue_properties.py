"""Invariants of the queues under any sequence of calls, and agreement with a model too slow to simulate with."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sim.clientgo.limiters import ItemExponentialFailure
from sim.clientgo.priority_queue import PriorityQueue
from sim.clientgo.rate_limiting import RateLimitingQueue
from sim.units import MILLISECOND, SECOND

KEYS = st.sampled_from("abcdef")
DELAYS = st.sampled_from([-1, 0, 1, MILLISECOND, SECOND, 10 * SECOND])
PRIORITIES = st.sampled_from([-100, 0, 0, 7])


class RateLimiting(RuleBasedStateMachine):
    """No key on two workers, none in the queue twice, none lost, and metrics that add up."""

    def __init__(self) -> None:
        super().__init__()
        self.queued: list[int] = []
        self.worked: list[int] = []
        limiter = ItemExponentialFailure(5 * MILLISECOND, SECOND)
        self.queue = RateLimitingQueue(limiter, self.queued.append, self.worked.append)
        self.now = 0
        self.held: list[object] = []
        self.wanted: set[object] = set()  # added and not handed out since
        self.delayed: dict[object, int] = {}  # earliest ready time of what waits
        self.handed_out = 0

    def want(self, key: object) -> None:
        if not self.queue.shutting_down:
            self.wanted.add(key)

    @rule(key=KEYS)
    def add(self, key: str) -> None:
        self.queue.add(self.now, key)
        self.want(key)

    @rule(key=KEYS, delay=DELAYS)
    def add_after(self, key: str, delay: int) -> None:
        self.queue.add_after(self.now, key, delay)
        if delay <= 0:
            self.want(key)
        elif not self.queue.shutting_down:
            self.delayed[key] = min(self.delayed.get(key, self.now + delay), self.now + delay)

    @rule(key=KEYS)
    def add_rate_limited(self, key: str) -> None:
        failures = self.queue.num_requeues(key)
        self.queue.add_rate_limited(self.now, key)
        assert self.queue.num_requeues(key) == failures + 1
        if not self.queue.shutting_down:
            due = self.now + min(5 * MILLISECOND * 2**failures, SECOND)
            self.delayed[key] = min(self.delayed.get(key, due), due)

    @rule(key=KEYS)
    def forget(self, key: str) -> None:
        self.queue.forget(key)
        assert self.queue.num_requeues(key) == 0

    @rule()
    def get(self) -> None:
        before = len(self.queue)
        key = self.queue.get(self.now)
        assert (key is None) == (before == 0)
        if key is not None:
            assert key not in self.held
            assert key in self.wanted
            self.wanted.discard(key)
            self.held.append(key)
            self.handed_out += 1

    @precondition(lambda self: self.held)
    @rule(index=st.integers(0, 5))
    def done(self, index: int) -> None:
        self.queue.done(self.now, self.held.pop(index % len(self.held)))

    @rule(step=st.sampled_from([1, MILLISECOND, 3 * SECOND]))
    def advance(self, step: int) -> None:
        self.now += step
        self.queue.advance(self.now)
        for key in [key for key, due in self.delayed.items() if due <= self.now]:
            del self.delayed[key]
            self.want(key)

    @rule(chance=st.integers(0, 30))
    def shut_down(self, chance: int) -> None:
        if chance == 0:
            self.queue.shut_down(self.now)
            self.delayed.clear()

    @invariant()
    def what_is_wanted_is_queued_unless_held(self) -> None:
        assert len(self.queue) == len(self.wanted - set(self.held))
        assert self.queue.depth == len(self.wanted)
        assert self.queue.waiting == len(self.delayed)
        assert self.queue.processing == len(self.held)

    @invariant()
    def the_alarm_is_set_for_the_earliest(self) -> None:
        assert self.queue.next_due() == min(self.delayed.values(), default=None)

    @invariant()
    def each_handed_out_key_was_timed(self) -> None:
        assert len(self.queued) == self.handed_out
        assert len(self.worked) == self.handed_out - len(self.held)
        assert all(duration >= 0 for duration in self.queued + self.worked)


class Prioritised(RuleBasedStateMachine):
    """Against a plain list that is sorted at each get: the order, the absorbing, the merging."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = PriorityQueue(ItemExponentialFailure(5 * MILLISECOND, SECOND))
        self.now = 0
        self.counter = 0
        self.items: dict[str, list[int | None]] = {}  # key: [-priority, counter, ready at or None]
        self.held: list[object] = []

    @rule(key=KEYS, delay=DELAYS, priority=PRIORITIES, limited=st.booleans())
    def add_with_opts(self, key: str, delay: int, priority: int, limited: bool) -> None:
        failures = self.queue.num_requeues(key)
        self.queue.add_with_opts(self.now, key, delay, limited, priority)
        if limited:
            backoff = min(5 * MILLISECOND * 2**failures, SECOND)
            delay = backoff if delay == 0 else min(delay, backoff)
        ready_at = self.now + delay if delay > 0 else None
        if key not in self.items:
            self.items[key] = [-priority, self.counter, ready_at]
            self.counter += 1
            return
        item = self.items[key]
        if item[2] is None or ready_at is None:
            item[2] = None
        else:
            item[2] = min(item[2], ready_at)
        assert item[0] is not None
        if -priority < item[0]:
            item[:2] = [-priority, self.counter]
            self.counter += 1

    @rule()
    def get(self) -> None:
        ready = [(*item[:2], key) for key, item in self.items.items() if item[2] is None and key not in self.held]
        key = self.queue.get(self.now)
        assert key == (min(ready)[2] if ready else None)
        if isinstance(key, str):
            assert self.queue.priority_of(key) == -(self.items.pop(key)[0] or 0)
            self.held.append(key)

    @precondition(lambda self: self.held)
    @rule(index=st.integers(0, 5))
    def done(self, index: int) -> None:
        key = self.held.pop(index % len(self.held))
        self.queue.done(self.now, key)
        assert self.queue.priority_of(key) == 0

    @rule(step=st.sampled_from([1, MILLISECOND, 3 * SECOND]))
    def advance(self, step: int) -> None:
        self.now += step
        self.queue.advance(self.now)
        due = [(item[2], *item[:2], item) for item in self.items.values() if item[2] is not None and item[2] <= self.now]
        for *_, item in sorted(due, key=lambda entry: entry[:3]):
            item[1:] = [self.counter, None]
            self.counter += 1

    @invariant()
    def ready_and_waiting_are_counted(self) -> None:
        times = [item[2] for item in self.items.values() if item[2] is not None]
        assert self.queue.waiting == len(times)
        assert len(self.queue) == self.queue.depth == len(self.items) - len(times)
        assert self.queue.next_due() == min(times, default=None)


TestRateLimiting = RateLimiting.TestCase
TestRateLimiting.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestPrioritised = Prioritised.TestCase
TestPrioritised.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
