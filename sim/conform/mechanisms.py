"""Golden traces of limiters, queues, caches, Events and backoffs: one function a mechanism that builds its table of operations.

An operation says what its arguments are (so that a malformed one is refused with a reason), which fields it answers
and must answer, and how to make the same call here. Queues are brought up to the time of a call first, as the
library's own timers would.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, Final

from sim.clientgo.backoff import Backoff, ExponentialBackoffManager
from sim.clientgo.correlator import (
    DEFAULT_AGGREGATE_INTERVAL,
    DEFAULT_AGGREGATE_MAX_EVENTS,
    DEFAULT_SPAM_BURST,
    DEFAULT_SPAM_QPS,
    MAX_LRU_CACHE_ENTRIES,
    Event,
    EventCorrelator,
)
from sim.clientgo.delaying import DelayingQueue
from sim.clientgo.delta_fifo import DeltaFIFO
from sim.clientgo.deltas import DeltaType, Popped
from sim.clientgo.keys import DeletedFinalStateUnknown, ObjectMeta, meta_namespace_key
from sim.clientgo.limiters import (
    Bucket,
    ItemExponentialFailure,
    ItemFastSlow,
    MaxOf,
    RateLimiter,
    WithMaxWait,
    default_controller_rate_limiter,
    priority_queue_rate_limiter,
)
from sim.clientgo.priority_queue import PriorityQueue
from sim.clientgo.priority_queues import priority_queue_for
from sim.clientgo.queue_metrics import UnfinishedWorkGauges
from sim.clientgo.rate_limiting import RateLimitingQueue
from sim.clientgo.real_fifo import RealFIFO
from sim.clientgo.store import Store
from sim.clientgo.workqueue import Queue
from sim.conform.format import (
    Answer,
    Config,
    Malformed,
    Mechanism,
    Operation,
    Operations,
    read_config,
    read_configs,
    read_fields,
    read_flag,
    read_flag_or_false,
    read_object,
    read_objects,
    read_rate,
    read_text,
    read_whole,
    read_whole_or_0,
    silent,
)
from sim.ratelimit.bucket import Reservation, TokenBucket, bucket_for
from sim.units import SECOND, Nanoseconds


def _bucket(config: Config) -> Operations:
    rate, burst = config.take(read_rate, "rate", "qps", "limit"), config.take(read_whole, "burst")
    config.finish("rate", "burst")
    make = bucket_for(config.release)
    bucket = make(rate, burst)
    short = make(rate, burst)  # goes the short way of `reserve` where the other goes that of `reserve_n`
    reservations: list[Reservation] = []

    def allow_n(now: Nanoseconds, n: int) -> Answer:
        short.allow_n(now, n)
        return {"ok": bucket.allow_n(now, n)}

    def reserve_n(now: Nanoseconds, n: int) -> Answer:
        reservations.append(bucket.reserve_n(now, n))
        short.reserve_n(now, n)
        return {"ok": reservations[-1].ok, "delay_ns": reservations[-1].delay}

    def reserve(now: Nanoseconds) -> Answer:
        reservations.append(bucket.reserve_n(now, 1))
        return {"ok": reservations[-1].ok, "delay_ns": short.reserve(now)}

    def cancel(now: Nanoseconds, i: int) -> Answer:
        if not 0 <= i < len(reservations):
            raise Malformed(f"there is no reservation {i}; allowed: 0 to {len(reservations) - 1}, in the order they were made")
        bucket.cancel(now, reservations[i])
        short.cancel(now, reservations[i])
        return {}

    def tokens(now: Nanoseconds) -> Answer:
        return {"tokens": short.tokens(now)}

    def set_rate(now: Nanoseconds, rate: float) -> Answer:
        bucket.set_rate(now, rate)
        short.set_rate(now, rate)
        return {}

    def set_burst(now: Nanoseconds, burst: int) -> Answer:
        bucket.set_burst(now, burst)
        short.set_burst(now, burst)
        return {}

    reserved = ("ok", "delay_ns")
    return {
        "allow": Operation(lambda now: allow_n(now, 1), (), ("ok",), ("ok",)),
        "allow_n": Operation(allow_n, (read_whole,), ("ok",), ("ok",)),
        "reserve": Operation(reserve, (), reserved, ("ok",)),
        "reserve_n": Operation(reserve_n, (read_whole,), reserved, ("ok",)),
        "cancel": Operation(cancel, (read_whole,)),
        "tokens": Operation(tokens, (), ("tokens",), ("tokens",)),
        "set_rate": Operation(set_rate, (read_rate,)),
        "set_burst": Operation(set_burst, (read_whole,)),
    }


def _readings_of_bucket(config: Config) -> list[Config]:
    """A bucket inside may be that of x/time before 0.10, which client-go was released with up to 0.35; a trace does not say it."""
    return [config, config.with_setting(_OLD_BUCKET, True)] if config.release <= (0, 35) else [config]


def _bucket_of(config: Config) -> type[TokenBucket]:
    return bucket_for((0, 9)) if config.take(read_flag, _OLD_BUCKET, default=False) else TokenBucket


def _limiter(config: Config, kind: str | None = None, bucket: type[TokenBucket] = TokenBucket) -> RateLimiter:
    """The limiter that `config` describes; `kind` where the mechanism says it, else the config's own."""
    named = config.take(read_text, "kind", default=kind)
    match named.removeprefix("limiter.") if named else None:
        case "exponential":
            made: RateLimiter = ItemExponentialFailure(
                config.take(read_whole, "base_ns", "base_delay_ns"), config.take(read_whole, "max_ns", "max_delay_ns")
            )
            config.finish("base_ns", "max_ns")
        case "fast_slow":
            made = ItemFastSlow(
                config.take(read_whole, "fast_ns", "fast_delay_ns"),
                config.take(read_whole, "slow_ns", "slow_delay_ns"),
                config.take(read_whole, "max_fast_attempts", "attempts"),
            )
            config.finish("fast_ns", "slow_ns", "max_fast_attempts")
        case "bucket":
            made = Bucket(config.take(read_rate, "rate", "qps", "limit"), config.take(read_whole, "burst"), bucket)
            config.finish("rate", "burst")
        case "max_of":
            made = MaxOf(*(_limiter(member, bucket=bucket) for member in config.take(read_configs, "limiters")))
            config.finish("limiters")
        case "with_max_wait":
            inner = _limiter(config.take(_read_only_limiter, "limiter", "inner", "limiters"), bucket=bucket)
            made = WithMaxWait(inner, config.take(read_whole, "max_ns", "max_wait_ns", "max_delay_ns"))
            config.finish("limiter", "max_ns")
        case None:
            raise Malformed(f'"kind" is missing; allowed: {", ".join(_LIMITER_KINDS)}')
        case _:
            raise Malformed(f'there is no limiter of kind "{named}"; allowed: {", ".join(_LIMITER_KINDS)}')
    return made


def _read_only_limiter(value: object) -> Config:
    """The limiter that another wraps; a list of one is it, too. Raises Malformed."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return read_config(value)


def _limiter_operations(kind: str) -> Callable[[Config], Operations]:
    def build(config: Config) -> Operations:
        bucket = _bucket_of(config)
        limiter = _limiter(config, kind, bucket)
        return {
            "when": Operation(lambda now, key: {"delay_ns": limiter.when(now, key)}, (read_text,), ("delay_ns",), ("delay_ns",)),
            "forget": Operation(silent(lambda now, key: limiter.forget(key)), (read_text,)),
            "num_requeues": Operation(lambda now, key: {"n": limiter.num_requeues(key)}, (read_text,), ("n",), ("n",)),
        }

    return build


def _queue(config: Config) -> Operations:
    config.take(read_text, "name", default="")
    config.finish()
    return _queue_operations(Queue())


def _delaying(config: Config) -> Operations:
    config.take(read_text, "name", default="")
    config.finish()
    return _queue_operations(DelayingQueue())


def _rate_limiting(config: Config) -> Operations:
    return _queue_operations(RateLimitingQueue(_queue_limiter(config, default_controller_rate_limiter())))


def _priority(config: Config) -> Operations:
    limiter = _queue_limiter(config, priority_queue_rate_limiter())
    return _queue_operations(priority_queue_for(config.release)(limiter))


def _queue_limiter(config: Config, default: RateLimiter) -> RateLimiter:
    bucket = _bucket_of(config)
    config.take(read_text, "name", default="")
    if config.has("kind"):
        return _limiter(config, bucket=bucket)
    described = config.take(read_config, "limiter", default=None)
    config.finish("limiter")
    return default if described is None else _limiter(described, bucket=bucket)


def _queue_operations(queue: Queue | PriorityQueue) -> Operations:
    gauges = UnfinishedWorkGauges(queue)

    def advance(now: Nanoseconds) -> None:
        gauges.advance(now)
        if not isinstance(queue, Queue) or isinstance(queue, DelayingQueue):
            queue.advance(now)

    def operation(
        call: Callable[..., object],
        arguments: tuple[Callable[[object], Any], ...] = (),
        answers: tuple[str, ...] = (),
        optional: int = 0,
    ) -> Operation:
        def timed(now: Nanoseconds, *values: object) -> Answer:
            advance(now)
            answer = call(now, *values)
            return {**(answer if isinstance(answer, dict) else {}), "len": len(queue)}

        return Operation(timed, arguments, (*answers, "len"), answers[:1], optional)

    def get(now: Nanoseconds) -> Answer:
        key = queue.get(now)
        priority = None if key is None else queue.priority_of(key)
        return {"key": key, "shutdown": key is None and queue.shutting_down, "priority": priority}

    def metrics(now: Nanoseconds) -> Answer:
        return {
            "depth": queue.depth,
            "adds": queue.adds,
            "retries": queue.retries,
            "unfinished_seconds": gauges.unfinished_seconds,
            "longest_running_seconds": gauges.longest_running_seconds,
        }

    operations = {
        "add": operation(queue.add, (read_text,)),
        "get": operation(get, (), ("key", "shutdown", "priority")),
        "done": operation(queue.done, (read_text,)),
        "shut_down": operation(queue.shut_down),
        "shut_down_with_drain": operation(queue.shut_down_with_drain),
        "advance": operation(lambda now, passed: None, (read_whole_or_0,), optional=1),
        "metrics": operation(metrics, (), ("depth", "adds", "retries", "unfinished_seconds", "longest_running_seconds")),
    }
    if isinstance(queue, DelayingQueue | PriorityQueue):
        operations["add_after"] = operation(queue.add_after, (read_text, read_whole))
    if isinstance(queue, RateLimitingQueue | PriorityQueue):
        operations["add_rate_limited"] = operation(queue.add_rate_limited, (read_text,))
        operations["forget"] = operation(lambda now, key: queue.forget(key), (read_text,))
        operations["num_requeues"] = operation(lambda now, key: {"n": queue.num_requeues(key)}, (read_text,), ("n",))
    if isinstance(queue, PriorityQueue):
        operations["add_opts"] = operation(
            lambda now, key, after, priority, limited: queue.add_with_opts(now, key, after, limited, priority),
            (read_text, read_whole_or_0, read_whole_or_0, read_flag_or_false),
            optional=3,
        )
    return operations


def _key(config: Config) -> Operations:
    config.finish()
    return {"key": Operation(lambda now, obj: {"key": meta_namespace_key(obj)}, (read_object,), ("key",), ("key",))}


def _store(config: Config) -> Operations:
    config.finish()
    store = Store()

    def get(now: Nanoseconds, key: str) -> Answer:
        obj = store.get_by_key(key)
        return {"obj": _written(obj) if isinstance(obj, ObjectMeta) else None, "len": len(store)}

    def change(call: Callable[[Any], None], argument: Callable[[object], Any]) -> Operation:
        def changed(now: Nanoseconds, value: object) -> Answer:
            call(value)
            return {"len": len(store)}

        return Operation(changed, (argument,), ("len",))

    return {
        "add": change(store.add, read_object),
        "update": change(store.update, read_object),
        "delete": change(store.delete, read_object),
        "replace": change(store.replace, read_objects),
        "get": Operation(get, (read_text,), ("obj", "len"), ("obj",)),
        "list_keys": Operation(lambda now: {"keys": sorted(store.list_keys()), "len": len(store)}, (), ("keys", "len"), ("keys",)),
    }


def _delta_fifo(config: Config) -> Operations:
    known = _known(config.take(read_objects, "known", default=[]))
    live = config.take(read_flag, "live", default=False)
    emit_replaced = config.take(read_flag, "emit_replaced", "emit_delta_type_replaced", default=False)
    config.finish("known", "emit_replaced")
    return _fifo_operations(DeltaFIFO(known, emit_delta_type_replaced=emit_replaced), known if live else None)


def _real_fifo(config: Config) -> Operations:
    known = _known(config.take(read_objects, "known", default=[]))
    live = config.take(read_flag, "live", default=False)
    config.take(read_flag, "emit_replaced", "emit_delta_type_replaced", default=True)  # it always says Replaced
    config.finish("known", "emit_replaced")
    return _fifo_operations(RealFIFO(known), known if live else None)


def _known(objects: list[ObjectMeta]) -> Store:
    store = Store()
    for obj in objects:
        store.add(obj)
    return store


def _readings_of_known(config: Config) -> list[Config]:
    """The indexer behind a FIFO may stay as it was, or take in what is popped, as an informer's does."""
    return [config, config.with_setting("live", True)]


def _fifo_operations(fifo: DeltaFIFO | RealFIFO, live: Store | None) -> Operations:
    groups: deque[int | None] = deque()  # of each pending key: the call that took it from what lists keys in random order
    calls = count()

    def noted(call: Callable[..., None], *values: object) -> None:
        before = len(fifo)
        call(*values)
        groups.extend([None] * (len(fifo) - before))

    def from_indexer(call: Callable[..., None], *values: object) -> None:
        listed = {meta_namespace_key(obj) for value in values for obj in value}  # type: ignore[attr-defined]
        group, before = next(calls), len(fifo)
        call(*values)
        groups.extend(None if key in listed else group for key in list(fifo.pending_keys())[before:])

    def as_recorded(out: Answer) -> None:
        """Bring the recorded key to the front, if its place among those of its call was chance."""
        keys, wanted = list(fifo.pending_keys()), out.get("key")
        if wanted in keys and wanted != keys[0] and groups[0] is not None and groups[keys.index(wanted)] == groups[0]:
            fifo.swap(keys[0], wanted)

    def change(call: Callable[..., None], *arguments: Callable[[object], Any]) -> Operation:
        def changed(now: Nanoseconds, *values: object) -> Answer:
            call(*values)
            return {"len": len(fifo)}

        return Operation(changed, arguments, ("len",))

    def pop(now: Nanoseconds) -> Answer:
        popped = fifo.pop()
        if popped is not None:
            groups.popleft()
            for delta in popped.deltas:
                if live is None:
                    break
                if delta.type is DeltaType.DELETED:
                    live.discard(popped.key)
                else:
                    live.update(delta.object)
        if popped is None:
            return {"key": None, "deltas": [], "len": 0}
        return {"key": popped.key, "deltas": _told(popped), "len": len(fifo)}

    operations = {
        "add": change(partial(noted, fifo.add), read_object),
        "update": change(partial(noted, fifo.update), read_object),
        "delete": change(partial(noted, fifo.delete), read_object),
        "replace": change(partial(from_indexer, fifo.replace), read_objects),
        "resync": change(partial(from_indexer, fifo.resync)),
        "pop": Operation(pop, (), ("key", "deltas", "len"), ("key",), prepare=as_recorded),
        "has_synced": Operation(lambda now: {"ok": fifo.has_synced, "len": len(fifo)}, (), ("ok", "len"), ("ok",)),
    }
    if isinstance(fifo, RealFIFO):

        def pop_batch(now: Nanoseconds) -> Answer:
            batch = [{"key": popped.key, "deltas": _told(popped)} for popped in fifo.pop_batch()]
            for _ in batch:
                groups.popleft()
            return {"batch": batch, "len": len(fifo)}

        operations["pop_batch"] = Operation(pop_batch, (), ("batch", "len"), ("batch",))
    return operations


def _told(popped: Popped) -> list[Answer]:
    """Deltas as a trace has them; a tombstone shows the version of the last state it carries."""
    told: list[Answer] = []
    for kind, obj in popped.deltas:
        state = obj.obj if isinstance(obj, DeletedFinalStateUnknown) else obj
        told.append({"type": str(kind), "rv": state.resource_version if isinstance(state, ObjectMeta) else ""})
    return told


def _correlator(config: Config) -> Operations:
    correlator = EventCorrelator(
        burst=config.take(read_whole, "burst", "burst_size", "spam_burst", default=0) or DEFAULT_SPAM_BURST,
        qps=config.take(read_rate, "qps", "spam_qps", "rate", default=0.0) or DEFAULT_SPAM_QPS,
        max_events=config.take(read_whole, "max_events", "aggregate_max_events", default=0) or DEFAULT_AGGREGATE_MAX_EVENTS,
        interval=config.take(read_whole, "max_interval_seconds", "max_interval_in_seconds", "interval_seconds", default=0) * SECOND
        or DEFAULT_AGGREGATE_INTERVAL,
        cache_size=config.take(read_whole, "lru_cache_size", "cache_size", default=0) or MAX_LRU_CACHE_ENTRIES,
        spam_by_type=config.release >= (0, 32),
    )
    config.finish("burst", "qps", "max_events", "max_interval_seconds", "lru_cache_size")

    def correlate(now: Nanoseconds, event: Event) -> Answer:
        result = correlator.correlate(now, event)
        if result.event is None:
            return {"skip": True, "count": 0, "message": ""}
        return {"skip": False, "count": result.event.count, "message": result.event.message}

    return {"correlate": Operation(correlate, (read_event,), ("skip", "count", "message"), ("skip", "count", "message"))}


def _backoff(config: Config) -> Operations:
    duration, factor = config.take(read_whole, "duration_ns"), config.take(read_rate, "factor", default=0.0)
    steps, cap = config.take(read_whole, "steps", default=0), config.take(read_whole, "cap_ns", default=0)
    if config.take(read_rate, "jitter", default=0.0) != 0.0:
        raise Malformed("jitter is drawn at random; allowed: 0")
    config.finish("duration_ns", "factor", "steps", "cap_ns")
    backoff = Backoff(duration, factor, 0.0, steps, cap)

    def reset(now: Nanoseconds) -> Answer:
        backoff.duration, backoff.steps = duration, steps
        return {}

    return {
        "step": Operation(lambda now: {"delay_ns": backoff.step()}, (), ("delay_ns",), ("delay_ns",)),
        "reset": Operation(reset),
    }


def _backoff_manager(config: Config) -> Operations:
    manager = ExponentialBackoffManager(
        0,
        config.take(read_whole, "initial_ns"),
        config.take(read_whole, "max_ns"),
        config.take(read_whole, "reset_ns"),
        config.take(read_rate, "factor"),
        0.0,
    )
    config.finish("initial_ns", "max_ns", "reset_ns", "factor")
    return {"next": Operation(lambda now: {"delay_ns": manager.next(now)}, (), ("delay_ns",), ("delay_ns",))}


def _written(obj: ObjectMeta) -> Answer:
    return {"ns": obj.namespace, "name": obj.name, "uid": obj.uid, "rv": obj.resource_version}


def read_event(value: object) -> Event:
    """A Kubernetes Event. Raises Malformed."""
    fields = read_fields(value, ("source", "kind", "ns", "name", "reason", "message", "type"))
    return Event(
        fields["source"], fields["kind"], fields["ns"], fields["name"], fields["reason"], fields["message"], fields["type"]
    )


_OLD_BUCKET: Final = "x_time_before_0_10"
_LIMITER_KINDS: Final = ("exponential", "fast_slow", "bucket", "max_of", "with_max_wait")

CLIENT_MECHANISMS: Final[tuple[Mechanism, ...]] = (
    Mechanism("ratelimit.bucket", _bucket),
    *(Mechanism(f"limiter.{kind}", _limiter_operations(kind), _readings_of_bucket) for kind in _LIMITER_KINDS),
    Mechanism("workqueue.queue", _queue),
    Mechanism("workqueue.delaying", _delaying),
    Mechanism("workqueue.rate_limiting", _rate_limiting, _readings_of_bucket),
    Mechanism("workqueue.priority", _priority, _readings_of_bucket),
    Mechanism("cache.key", _key),
    Mechanism("cache.store", _store),
    Mechanism("cache.delta_fifo", _delta_fifo, _readings_of_known),
    Mechanism("cache.real_fifo", _real_fifo, _readings_of_known),
    Mechanism("events.correlator", _correlator),
    Mechanism("wait.backoff", _backoff),
    Mechanism("wait.backoff_manager", _backoff_manager),
)
"""Limiters, queues, caches, Events, backoffs."""
