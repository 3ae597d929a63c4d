"""Releases of controllers: what one decides whenever its process starts, from its queue to what a reconcile does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Final

from sim.apiserver.objects import ApiObject
from sim.apiserver.storage import Verb
from sim.assembly.faults import Calendars
from sim.assembly.ground import Ground, pairs
from sim.clientgo import limiters
from sim.clientgo.correlator import Event
from sim.clientgo.priority_queues import PRIORITY_QUEUES
from sim.clientgo.queue_interface import WorkQueue
from sim.clientgo.rate_limiting import RateLimitingQueue
from sim.clientgo.retry import DEFAULT_BACKOFF, DEFAULT_RETRY
from sim.controllers.scan import ARTICLE_NS, Scan
from sim.controllers.self_check import SelfCheck
from sim.processes.controller import Reconciler
from sim.processes.event_recorder import EventRecorder
from sim.processes.reconcilers import CacheReconciler, Fates, ObjectReconciler, Writer, Written
from sim.processes.running import Release, RunningController
from sim.processes.zero_values import EntangledReconciler, Inserts, Watched
from sim.scenario import limiters as declared
from sim.scenario import reconcile as declared_reconcile
from sim.scenario.controllers import Controller, Resolved
from sim.scenario.hypotheses import Hypotheses
from sim.scenario.informers import Informer as DeclaredInformer
from sim.scenario.self_check import SelfCheck as DeclaredSelfCheck
from sim.units import Nanoseconds

VERBS: Final = {
    "update": Verb.UPDATE,
    "merge_patch": Verb.PATCH,
    "merge_patch_locked": Verb.PATCH_LOCKED,
    "json_patch": Verb.PATCH,
    "apply": Verb.APPLY,
}
RETRIES: Final = {"off": None, "default": DEFAULT_RETRY, "backoff": DEFAULT_BACKOFF}


def rate_limiter(spec: declared.Limiter) -> limiters.RateLimiter:
    """A client-go limiter as it is declared."""
    match spec:
        case declared.ExponentialLimiter():
            return limiters.ItemExponentialFailure(spec.base, spec.max)
        case declared.BucketLimiter():
            return limiters.Bucket(spec.rate, spec.burst)
        case declared.FastSlowLimiter():
            return limiters.ItemFastSlow(spec.fast, spec.slow, spec.max_fast_attempts)
        case declared.MaxOfLimiter():
            return limiters.MaxOf(*(rate_limiter(part) for part in spec.limiters))
        case declared.MaxWaitLimiter():
            return limiters.WithMaxWait(rate_limiter(spec.limiter), spec.max)


def written(spec: declared_reconcile.Written, manager: str, hypotheses: Hypotheses) -> Written:
    """A declared write."""
    verb = "merge_patch_locked" if spec.verb == "merge_patch" and hypotheses.merge_patch_locks else spec.verb
    return Written(VERBS[verb], spec.sets, spec.field_, manager, RETRIES[spec.retry], spec.force)


class Releases:
    """Makes the releases of controllers."""

    def __init__(self, ground: Ground, calendars: Calendars):
        self.ground, self._calendars = ground, calendars
        self._generated = count()

    def of(self, name: str, controller: Controller, who: str) -> Release:
        """A controller of that name as it is declared, for one process."""
        resolved, reconcile = controller.resolved(), controller.reconcile
        work = self.ground.delays(reconcile.duration, f"controllers.{name}.work").draw
        return Release(
            resolved.workers, resolved.every or 0, controller.max_retries, resolved.defaults.pause_after_error,
            controller.cache.on_delete == "keep-zero-value", partial(_queue, resolved),
            self._reconciler(name, controller, who, work), resolved.recover_panic, _scan(reconcile.scan),
            _self_check(controller.self_check),
        )  # fmt: skip

    def _reconciler(
        self, name: str, controller: Controller, who: str, work: Callable[[], Nanoseconds]
    ) -> Callable[[RunningController], Reconciler]:
        ground, reconcile, env = self.ground, controller.reconcile, self.ground.env
        writer = ground.writer(name)
        again = controller.resolved().every is not None
        fates = Fates(reconcile.errors, reconcile.terminal_errors, reconcile.requeues, reconcile.panics, reconcile.poisoned)
        acts = reconcile.writes or reconcile.finalizer or reconcile.events or fates != Fates()
        if reconcile.on_zero_value is not None or not acts:
            return partial(self._cache_reconciler, controller, who, work)
        kind = _watched(ground.scenario.informers, controller)
        chance = ground.stream(f"controllers.{who}.fate").uniform
        jitter = ground.stream(f"controllers.{who}.retry", 64)
        down = self._calendars.fails("reconcile_failure", name, lambda: env._now)
        shape, manager = ground.shapes[kind], name
        writes = [written(spec, manager, ground.scenario.hypotheses) for spec in reconcile.writes.values()]

        def make(running: RunningController) -> Reconciler:
            recorder = running.recorder if reconcile.events is not None else None
            record = None if recorder is None else _recording(recorder, controller, name, kind)
            return ObjectReconciler(
                env, running.client, writer, shape, kind, running.find, running.working(work), again, writes, reconcile.finalizer,
                fates, chance, Writer(env, running.client, shape, running.writes, jitter), record, running.cache, down,
            )  # fmt: skip

        return make

    def _cache_reconciler(
        self, controller: Controller, who: str, work: Callable[[], Nanoseconds], running: RunningController
    ) -> Reconciler:
        """The reconciler of one life of a controller that only looks after its map."""
        ground, on_zero = self.ground, controller.reconcile.on_zero_value
        again, writer = controller.resolved().every is not None, ground.writer(running.name)
        creates = None if on_zero is None else ground.shapes[on_zero.create]
        ttl = 0 if on_zero is None else ground.scenario.objects[on_zero.create].ttl or 0
        watched = inserts = None
        if on_zero is not None and on_zero.watched:
            (selector, *_) = (watch.selector for watch in controller.watches.values() if watch.object == on_zero.create)
            watched = Watched(pairs(selector), self._generated)
        if (hypothesis := ground.scenario.hypotheses.map_read_inserts) is not None and running.place is not None:
            inserts = Inserts(hypothesis.miss_rate, ground.stream(f"controllers.{who}.misses").uniform, running.place.add)
        base = ground.env, running.client, writer, running.exists(), running.cache, running.working(work), again, creates
        if watched is not None or inserts is not None:
            return EntangledReconciler(*base, watched, inserts)
        return CacheReconciler(*base, ttl)


def _self_check(declared: DeclaredSelfCheck | None) -> SelfCheck | None:
    if declared is None:
        return None
    nanoseconds = ARTICLE_NS[declared.compare] if declared.nanoseconds is None else declared.nanoseconds
    return SelfCheck(Scan(nanoseconds), declared.at_start, declared.every, declared.on_found == "remove")


def _scan(declared: declared_reconcile.Scan | None) -> Scan | None:
    if declared is None:
        return None
    return Scan(ARTICLE_NS[declared.compare] if declared.nanoseconds is None else declared.nanoseconds)


def _queue(
    resolved: Resolved, queue_seconds: Callable[[Nanoseconds], object], work_seconds: Callable[[Nanoseconds], object]
) -> WorkQueue:
    limiter = rate_limiter(resolved.limiter)
    if resolved.queue == "priority":
        return PRIORITY_QUEUES[resolved.defaults.priority_queue or "0.23"](limiter, queue_seconds, work_seconds)
    return RateLimitingQueue(limiter, queue_seconds, work_seconds)


def _watched(informers: dict[str, DeclaredInformer], controller: Controller) -> str:
    """The kind of object that a controller's keys name: that of its first informer."""
    for name in controller.informers:
        return informers[name].object
    for watch in controller.watches.values():
        return watch.object
    raise AssertionError("checked when the scenario was read")


def _recording(recorder: EventRecorder, controller: Controller, name: str, kind: str) -> Callable[[ApiObject], None]:
    """Records the Events of one run about an object."""
    events = controller.reconcile.events
    assert events is not None
    told = 0

    def record(item: ApiObject) -> None:
        nonlocal told
        for ordinal in range(events.per_reconcile):
            told += 1
            message = f"run {told}" if events.message == "unique" else f"message {ordinal}"
            recorder.record(Event(name, kind, item.namespace, item.name, "Reconciled", message))

    return record
