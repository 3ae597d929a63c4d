"""A controller: reconcile goroutines that take keys from a queue, and what they decide about each key afterwards.

Sources: controller-runtime pkg/internal/controller/controller.go (processNextWorkItem, reconcileHandler).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from simpy.exceptions import Interrupt

from sim.clientgo.handlers import Notification
from sim.clientgo.priority_queue import LOW_PRIORITY
from sim.processes.events import Call, Clock
from sim.processes.work_queue import Wake, Workplace
from sim.units import Nanoseconds


class Result(Enum):
    """How a reconcile ended (controller-runtime: the result label)."""

    DONE = "success"
    REQUEUE_AFTER = "requeue_after"
    REQUEUE = "requeue"
    FAILED = "error"
    TERMINAL = "terminal error"
    PANIC = "panic"


DONE, REQUEUE_AFTER, FAILED = Result.DONE, Result.REQUEUE_AFTER, Result.FAILED


@dataclass(slots=True)
class Tally:
    """What all workers of a controller have done.

    failing: keys whose last run failed, whether they come back or were dropped; settled_at: when the last one of them succeeded.
    """

    reconciles: int = 0
    errors: int = 0
    terminal_errors: int = 0
    requeues: int = 0
    panics: int = 0
    dropped: int = 0
    busy: int = 0
    busy_max: int = 0
    failing: set[Hashable] = field(default_factory=set)
    failing_max: int = 0
    settled_at: Nanoseconds = 0

    def fails(self, key: Hashable) -> None:
        """A run of the key has failed."""
        self.failing.add(key)
        self.failing_max = max(self.failing_max, len(self.failing))

    def succeeds(self, now: Nanoseconds, key: Hashable) -> None:
        """A run of the key has not, while some key fails."""
        self.failing.discard(key)
        if not self.failing:
            self.settled_at = now


class Reconciler(Protocol):
    """Reconcile(key): what the controller does about one object."""

    def call(self) -> Call:
        """A call for one worker."""

    def reconcile(self, call: Call, key: Hashable) -> Generator[Any, Any, Result]:
        """One run."""


def reconcile_worker(
    env: Clock, place: Workplace, reconciler: Reconciler, tally: Tally, every: Nanoseconds, max_retries: int | None,
    pause: Nanoseconds, crash: Callable[[], None] | None,
) -> Generator[Any, Any, None]:  # fmt: skip
    """One reconcile goroutine: take a key, reconcile it, decide when it comes back. The re-add comes before Done.

    pause: what it sleeps after a failure (controller-runtime before 0.7). crash: ends the process when a reconcile panics; None:
    panics are recovered. It ends when it is interrupted.
    """
    queue = place.queue
    get, done, forget, priority_of = queue.get, queue.done, queue.forget, queue.priority_of
    wake, call = Wake(env), reconciler.call()
    try:
        while True:
            key = get(env._now)
            while key is None:
                yield place.idle(wake)
                key = get(env._now)
            tally.busy += 1
            if tally.busy > tally.busy_max:
                tally.busy_max = tally.busy
            result = yield from reconciler.reconcile(call, key)
            tally.busy -= 1
            tally.reconciles += 1
            now = env._now
            if result is REQUEUE_AFTER or result is DONE:
                if tally.failing:
                    tally.succeeds(now, key)
            elif result is not Result.REQUEUE:
                tally.fails(key)
            if result is REQUEUE_AFTER:
                forget(key)
                place.add_after(now, key, every, priority_of(key))
            elif result is DONE:
                forget(key)
            elif result is Result.REQUEUE:
                tally.requeues += 1
                place.add_rate_limited(now, key, priority_of(key))
            elif result is Result.TERMINAL:  # not added again, and not forgotten either
                tally.errors += 1
                tally.terminal_errors += 1
            else:
                tally.errors += 1
                if result is Result.PANIC:
                    tally.panics += 1
                    if crash is not None:
                        crash()
                        yield env.event()  # until the process ends
                if max_retries is not None and queue.num_requeues(key) >= max_retries:
                    forget(key)
                    tally.dropped += 1
                else:
                    place.add_rate_limited(now, key, priority_of(key))
            if done(now, key):
                place.rouse()
            if pause and result is FAILED:
                yield env.timeout(pause)
    except Interrupt:
        return


def handler(place: Workplace, wanted: Callable[[Notification], bool]) -> Callable[[Notification], None]:
    """An event handler that adds an object's key; low priority for the initial list and for what did not change.

    Source: controller-runtime pkg/handler/eventhandler.go (WithLowPriorityWhenUnchanged).
    """

    def handle(notification: Notification) -> None:
        if wanted(notification):
            place.add(notification.key, LOW_PRIORITY if notification.initial or notification.unchanged else 0)

    return handle
