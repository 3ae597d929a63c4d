"""A controller: event handlers that add keys, reconcile goroutines that take them, one client with its limiter.

Sources: controller-runtime pkg/internal/controller/controller.go (processNextWorkItem, reconcileHandler); the cache with zero
values is the source article's.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sim.clientgo.informer import Notification, SharedInformer
from sim.clientgo.priority_queue import LOW_PRIORITY
from sim.controllers.cache import ABSENT, ZERO, ObjectMap
from sim.etcd.request import CONFLICT, Shape
from sim.processes.events import Call, Clock
from sim.processes.rest_client import RestClient
from sim.processes.work_queue import Wake, Workplace
from sim.units import Nanoseconds


class Result(Enum):
    """How a reconcile ended (controller-runtime: the result label)."""

    DONE = "success"
    REQUEUE_AFTER = "requeue_after"
    FAILED = "error"


DONE, REQUEUE_AFTER, FAILED = Result.DONE, Result.REQUEUE_AFTER, Result.FAILED


@dataclass(slots=True)
class Tally:
    """What all workers of a controller have done."""

    reconciles: int = 0
    errors: int = 0
    dropped: int = 0
    busy: int = 0
    busy_max: int = 0


def reconcile_worker(
    env: Clock, place: Workplace, reconciler: Reconciler, tally: Tally, every: Nanoseconds, max_retries: int | None
) -> Generator[Any, Any, None]:
    """One reconcile goroutine: take a key, reconcile it, decide when it comes back. The re-add comes before Done."""
    queue = place.queue
    get, done, forget, priority_of = queue.get, queue.done, queue.forget, queue.priority_of
    wake, call = Wake(env), reconciler.call()
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
        if result is REQUEUE_AFTER:
            forget(key)
            place.add_after(now, key, every, priority_of(key))
        elif result is DONE:
            forget(key)
        else:
            tally.errors += 1
            if max_retries is not None and queue.num_requeues(key) >= max_retries:
                forget(key)
                tally.dropped += 1
            else:
                place.add_rate_limited(now, key, priority_of(key))
        if done(now, key):
            place.rouse()


class Reconciler:
    """Reconcile(key) of the controller under study: bring its map in line; a zero value makes it create an object.

    work: draws the CPU time of a pass, nanoseconds. every: whether an entry is looked at again. creates: what a zero value
    makes it create under a fresh name, None: nothing.
    """

    def __init__(
        self, env: Clock, client: RestClient, call: Callable[[], Call], exists: Callable[[Hashable], bool], cache: ObjectMap,
        work: Callable[[], Nanoseconds], again: bool, creates: Shape | None,
    ):  # fmt: skip
        self._env, self._client, self.call, self._exists = env, client, call, exists
        self._cache, self._work, self._creates = cache, work, creates
        self._seen = REQUEUE_AFTER if again else DONE

    def reconcile(self, call: Call, key: Hashable) -> Generator[Any, Any, Result]:
        """One pass over the entry of `key`."""
        found = self._cache.look(key, self._exists(key))
        if found is ZERO and self._creates is not None:
            yield self._client.create_once(call, self._creates, self._work())
            self._client.received(call)
            return FAILED if call.outcome >= CONFLICT else self._seen
        yield self._env.timeout(self._work())
        return DONE if found is ABSENT else self._seen


def enqueue_on(informer: SharedInformer, place: Workplace) -> None:
    """Add an object's key for each of its events;

    low priority for the initial list and for what did not change (handler.LowPriority).
    """

    def handle(notification: Notification) -> None:
        place.add(notification.key, LOW_PRIORITY if notification.initial or notification.unchanged else 0)

    informer.handlers.append(handle)
