"""A controller and its informers as parts of a process: what they are made of in each life, and what they have counted in all.

Sources: controller-runtime pkg/internal/controller/controller.go (Start: sources, then the wait for their caches, then workers).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from simpy.events import Process
from simpy.exceptions import Interrupt

from sim.apiserver.objects import ApiObject
from sim.clientgo.handlers import Notification
from sim.clientgo.queue_interface import WorkQueue
from sim.controllers.cache import ObjectMap
from sim.controllers.scan import Scan
from sim.controllers.self_check import SelfCheck
from sim.journal import Samples
from sim.processes.controller import Reconciler, Tally, handler, reconcile_worker
from sim.processes.event_recorder import EventRecorder
from sim.processes.events import Clock
from sim.processes.informer import Informer
from sim.processes.reconcilers import WriteTally
from sim.processes.rest_client import RestClient
from sim.processes.work_queue import Workplace
from sim.units import Nanoseconds


class InformerPart:
    """An informer of a process: made anew in each of its lives. `collisions` counts over all of them."""

    def __init__(self, make: Callable[[], Informer]):
        self._make = make
        self.now: Informer | None = None
        self._collisions = 0

    def begin(self) -> None:
        """A new store; the connection comes with the first who needs it."""
        self.now = self._make()

    def end(self) -> None:
        """The connection is gone, and the store."""
        if self.now is not None:
            self._collisions = self.collisions
            self.now.stop()
            self.now = None

    @property
    def informer(self) -> Informer:
        """The informer of the present life."""
        assert self.now is not None
        return self.now

    @property
    def keys(self) -> int:
        """What ListKeys returns now: how many."""
        return len(self.now.store) if self.now is not None else 0

    @property
    def degenerate_keys(self) -> int:
        """Of these: keys that name no object."""
        informer = self.now
        return informer.malformer.keys(informer.store) if informer is not None and informer.malformer is not None else 0

    @property
    def objects_lost(self) -> int:
        """Objects that it was told of and that exist, but no key stands for."""
        informer = self.now
        return informer.malformer.lost(informer.store) if informer is not None and informer.malformer is not None else 0

    @property
    def collisions(self) -> int:
        """Objects that came to a key that another one had."""
        malformer = self.now.malformer if self.now is not None else None
        return self._collisions + (malformer.collisions if malformer is not None else 0)


class Subscription:
    """What a controller wants to hear from an informer, and how long its handler takes, None: no time."""

    def __init__(
        self, part: InformerPart, wanted: Callable[[Notification], bool], cost: Callable[[], Nanoseconds] | None,
        resync: Nanoseconds | None,
    ):  # fmt: skip
        self.part, self.wanted, self.cost, self.resync = part, wanted, cost, resync


@dataclass(frozen=True, slots=True)
class Release:
    """What a release of a controller decides whenever its process starts. Times in nanoseconds.

    every: 0 for never; pause: after a failure. make_queue: a queue that reports to the two samples. make_reconciler: for one life
    of the controller. recovers: whether a panic is an error, not the end of the process. scan, check: of its map, None: none.
    """

    workers: int
    every: Nanoseconds
    max_retries: int | None
    pause: Nanoseconds
    keep_zero_values: bool
    make_queue: Callable[[Callable[[Nanoseconds], object], Callable[[Nanoseconds], object]], WorkQueue]
    make_reconciler: Callable[[RunningController], Reconciler]
    recovers: bool
    scan: Scan | None
    check: SelfCheck | None


class RunningController:
    """One controller: its queue, workers and map in the present life, its counts in all.

    releases: all that it may be in the run, the first from the start. crash: ends the process.
    """

    def __init__(
        self, env: Clock, name: str, releases: Sequence[Release], subscriptions: list[Subscription], client: RestClient,
        make_recorder: Callable[[], EventRecorder] | None, writes: WriteTally, shard: Callable[[Hashable], bool] | None,
    ):  # fmt: skip
        self._env, self.name, self._releases, self.release = env, name, releases, releases[0]
        self.subscriptions = subscriptions
        self.client, self._make_recorder, self.writes, self._shard = client, make_recorder, writes, shard
        self.crash: Callable[[], None] | None = None
        self.tally = Tally()
        self.queue_seconds, self.work_seconds = Samples(), Samples()
        self.cache = ObjectMap(self.release.keep_zero_values)
        self.place: Workplace | None = None
        self.recorders: list[EventRecorder] = []
        self._processes: list[Process] = []
        self._retries = self._adds = self._depth_max = self._zero_values_seen = 0

    # ---- lives

    def become(self, new: bool) -> None:
        """From its next life on it is the last of its releases, or the first again."""
        self.release = self._releases[-1 if new else 0]

    def begin(self) -> None:
        """Handlers, informers, and workers as soon as the informers have synced."""
        env = self._env
        queue = self.release.make_queue(self.queue_seconds.add, self.work_seconds.add)
        self.place = place = Workplace(env, queue)
        self.cache = ObjectMap(self.release.keep_zero_values)
        if self._make_recorder is not None:
            self.recorders.append(self._make_recorder())
        for subscription in self.subscriptions:
            wanted = subscription.wanted if self._shard is None else _both(subscription.wanted, self._shard)
            subscription.part.informer.add_handler(handler(place, wanted), subscription.cost, subscription.resync)
        for subscription in self.subscriptions:
            subscription.part.informer.start()
        self._processes = [env.process(self._work(place))]

    def _work(self, place: Workplace) -> Generator[Any, Any, None]:
        try:
            for subscription in self.subscriptions:
                yield from subscription.part.informer.wait_for_sync()
        except Interrupt:
            return
        env, release = self._env, self.release
        reconciler = release.make_reconciler(self)
        crash = None if release.recovers else self.crash
        self._processes = [
            env.process(
                reconcile_worker(env, place, reconciler, self.tally, release.every, release.max_retries, release.pause, crash)
            )
            for _ in range(release.workers)
        ]
        if release.check is not None:
            self._processes.append(env.process(_look_again(env, release.check, self.cache)))

    def end(self) -> None:
        """The process is gone: workers stop where they are, queue and map are lost."""
        place, self.place = self.place, None
        if place is None:
            return
        for process in self._processes:
            if process.is_alive:
                process.interrupt()
        if self.recorders:
            self.recorders[-1].stop()
        queue = place.queue
        queue.shut_down(self._env._now)
        self._retries += queue.retries
        self._adds += queue.adds
        self._depth_max = max(self._depth_max, place.depth_max)
        self._zero_values_seen += self.cache.zero_values_seen
        self.tally.busy = 0
        self.cache = ObjectMap(self.release.keep_zero_values)

    # ---- what it does

    def working(self, work: Callable[[], Nanoseconds]) -> Callable[[], Nanoseconds]:
        """Draws the CPU time of a reconcile, the look at every entry of its map included."""
        scan, cache = self.release.scan, self.cache
        return work if scan is None else lambda: work() + scan.over(len(cache))

    @property
    def scans(self) -> list[Scan]:
        """The scans of reconciles, of all releases."""
        return [release.scan for release in self._releases if release.scan is not None]

    @property
    def checks(self) -> list[SelfCheck]:
        """The self-checks, of all releases."""
        return [release.check for release in self._releases if release.check is not None]

    # ---- what it knows

    @property
    def recorder(self) -> EventRecorder | None:
        """The event recorder of the present life."""
        return self.recorders[-1] if self.recorders else None

    def find(self, key: Hashable) -> ApiObject | None:
        """The object in one of the stores."""
        for subscription in self.subscriptions:
            found = subscription.part.informer.store.get_by_key(key)  # type: ignore[arg-type]
            if isinstance(found, ApiObject):
                return found
        return None

    def exists(self) -> Callable[[Hashable], bool]:
        """Whether one of the stores has an object under a key."""
        stores = [subscription.part.informer.store for subscription in self.subscriptions]
        if len(stores) == 1:
            return stores[0].__contains__
        return lambda key: any(key in store for store in stores)

    # ---- what it has counted

    @property
    def depth(self) -> int:
        """workqueue_depth now."""
        return self.place.queue.depth if self.place is not None else 0

    @property
    def depth_max(self) -> int:
        """The longest queue so far."""
        return max(self._depth_max, self.place.depth_max if self.place is not None else 0)

    @property
    def retries(self) -> int:
        """workqueue_retries_total."""
        return self._retries + (self.place.queue.retries if self.place is not None else 0)

    @property
    def adds(self) -> int:
        """workqueue_adds_total."""
        return self._adds + (self.place.queue.adds if self.place is not None else 0)

    def unfinished(self, now: Nanoseconds) -> float:
        """workqueue_unfinished_work_seconds, seconds."""
        return self.place.queue.unfinished(now) if self.place is not None else 0.0

    def longest_running(self, now: Nanoseconds) -> float:
        """workqueue_longest_running_processor_seconds, seconds."""
        return self.place.queue.longest_running(now) if self.place is not None else 0.0

    @property
    def zero_values_seen(self) -> int:
        """controller_cache_zero_value_keys_total."""
        return self._zero_values_seen + self.cache.zero_values_seen


def _look_again(env: Clock, check: SelfCheck, cache: ObjectMap) -> Generator[Any, Any, None]:
    """The self-check of one life: at the start, where it is asked to, and then at intervals. It holds up no worker."""
    try:
        if check.at_start:
            yield env.timeout(check.look(cache))
        while check.every is not None:
            yield env.timeout(check.every)
            yield env.timeout(check.look(cache))
    except Interrupt:
        return


def _both(wanted: Callable[[Notification], bool], mine: Callable[[Hashable], bool]) -> Callable[[Notification], bool]:
    return lambda notification: mine(notification.key) and wanted(notification)
