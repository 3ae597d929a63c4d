"""The mechanisms around an informer as golden traces know them: reflector, shared informer and the queue of one listener.

`cache.reflector`. The calls are what came back from the server; each begins with `draws`, the uniforms that the library
took on the way. The answer is what it did next: `call`, the list or watch it sent (null: none, its watch is open), after
`rest_ns`; what it `told` its store; `last`, its last sync resource version; and how often its resync timer has `fired`
before. Objects of streams are told in the order of their text, since a real one keeps them in a map.

`cache.shared_informer`. The calls are what its reflector hears, and listeners that come and go; a `tick` is an instant at
which the resync timer told somebody something. `told` is what each listener heard: type, key, version, version before,
initial. Where a real one goes through a map (deletions of a relist, a resync, the store for a late listener), what
follows each other is sorted by key.

`cache.listener`. `offer` hands a notification to a handler that takes `cost_ns`; `ring` and `capacity` are its ring's.
At the end `handled` says when each was done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any, Final

from sim.apiserver.objects import EventType
from sim.clientgo.handlers import HandlerQueue, Listener, Notification
from sim.clientgo.informer import SharedInformer
from sim.clientgo.keys import ObjectMeta
from sim.clientgo.reflector import List, ListWatchError, OpenWatch, Reflector, ReflectorSettings, Sleep
from sim.conform.format import (
    Answer,
    Config,
    Malformed,
    Mechanism,
    Operation,
    Operations,
    read_flag,
    read_object,
    read_objects,
    read_text,
    read_whole,
)
from sim.units import Nanoseconds

_KINDS: Final = {"added": EventType.ADDED, "modified": EventType.MODIFIED, "deleted": EventType.DELETED}


_Told = list[object]


class _Draws:
    """The uniforms of one call, taken in order; how many were taken is part of the answer."""

    def __init__(self) -> None:
        self.given: list[float] = []
        self.taken = 0

    def give(self, draws: list[float]) -> None:
        self.given, self.taken = draws, 0

    def uniform(self) -> float:
        self.taken += 1
        return self.given[self.taken - 1] if self.taken <= len(self.given) else 0.0


class _Store:
    """A sink that writes down what it is told, as a trace has it. A stream's objects are sorted by their text."""

    def __init__(self, is_sorted: bool):
        self.told: list[object] = []
        self._sorted = is_sorted
        self._replaced: list[Answer] | None = None

    def list(self, objects: Iterable[object]) -> None:
        content = [_written(obj) for obj in objects]
        if self._sorted:
            content.sort(key=_go_text)
        self._replaced = content

    def event(self, kind: EventType, item: object) -> None:
        self.told.append([kind.value.lower(), _written(item)])

    def take(self, version: str) -> _Told:
        if self._replaced is not None:
            self.told.insert(0, ["replace", self._replaced, version])
        told, self.told, self._replaced = self.told, [], None
        return told


class _ReplayedReflector:
    """A reflector of ours behind the calls of a trace."""

    def __init__(self, settings: ReflectorSettings):
        self._draws = _Draws()
        self._store = _Store(settings.watch_list)
        self._settings = settings
        self._reflector = Reflector(0, self._store, self._draws, settings)
        self._fired = 0

    def call(self, change: Callable[..., None], read: tuple[Callable[[object], Any], ...] = ()) -> Operation:
        def replayed(now: Nanoseconds, draws: list[float], *values: object) -> Answer:
            while self._reflector.next_resync is not None and self._reflector.next_resync < now:
                self._fired += 1
                self._reflector.resync_fired(self._reflector.next_resync)
            self._draws.give(draws)
            change(now, *values)
            return self._next(now)

        answers = ("call", "rest_ns", "told", "last", "fired")
        return Operation(replayed, (_draws, *read), answers, answers)

    def operations(self) -> Operations:
        reflector = self._reflector

        def listed(now: Nanoseconds, version: int, items: list[ObjectMeta], token: str) -> None:
            reflector.listed(now, version, items, token or None)

        def event(now: Nanoseconds, kind: EventType, item: ObjectMeta) -> None:
            reflector.event(now, kind, item, int(item.resource_version))

        return {
            "start": self.call(lambda now: None),
            "listed": self.call(listed, (_version, read_objects, read_text)),
            "list_failed": self.call(reflector.list_failed, (_error,)),
            "watch_opened": self.call(reflector.watch_opened),
            "event": self.call(event, (_kind, read_object)),
            "bookmark": self.call(reflector.bookmark, (_version, read_flag)),
            "watch_closed": self.call(reflector.watch_closed),
            "watch_failed": self.call(reflector.watch_failed, (_error,)),
        }

    def _next(self, now: Nanoseconds) -> Answer:
        last, fired = self._reflector.last_sync_resource_version, self._fired
        action, rest = self._reflector.next(now), 0
        if isinstance(action, Sleep):
            rest = action.until - now
            action = self._reflector.next(action.until)
        version, call = _version_text(last), _asked(action)
        if self._draws.taken != len(self._draws.given):
            call = {"draws": self._draws.taken, **(call or {})}
        return {"call": call, "rest_ns": rest, "told": self._store.take(version), "last": version, "fired": fired}


def _reflector(config: Config) -> Operations:
    settings = ReflectorSettings.of(config.release)
    watch_list = config.take(read_flag, "watch_list", default=settings.watch_list)
    settings = ReflectorSettings(
        watch_list,
        settings.falls_back_on_any_error,
        settings.backoff_resets_when_idle,
        settings.own_watch_backoff,
        config.take(read_whole, "min_watch_timeout_ns", default=0),
        config.take(read_whole, "page_size", default=0),
        config.take(read_whole, "internal_error_retry_ns", default=0),
        config.take(_not_negative, "resync_ns", default=0),
    )
    config.finish("watch_list", "min_watch_timeout_ns", "page_size", "internal_error_retry_ns", "resync_ns")
    return _ReplayedReflector(settings).operations()


def _asked(action: List | OpenWatch | Sleep | None) -> Answer | None:
    match action:
        case List(version, limit, token):
            return {"list": {"rv": _version_text(version), "limit": limit, "continue": token or ""}}
        case OpenWatch(version, timeout, bookmarks, initial):
            return {
                "watch": {
                    "rv": _version_text(version),
                    "timeout_seconds": timeout,
                    "bookmarks": bookmarks,
                    "initial": initial,
                    "match": action.resource_version_match,
                }
            }
        case _:
            return None


class _ReplayedInformer:
    """A shared informer of ours, its listeners, and the reflector's resync timer."""

    def __init__(self, fifo: str, resync: Nanoseconds):
        self._informer = SharedInformer("delta" if fifo == "delta" else "real", resync)
        self._listeners: dict[str, Listener] = {}
        self._heard: dict[str, list[list[object]]] = {}
        self._check_period = 0
        self._next: Nanoseconds | None = None

    def operations(self) -> Operations:
        return {
            "add_listener": self._call(self._add_listener, (read_text, _period)),
            "remove_listener": self._call(self._remove_listener, (read_text,)),
            "start": self._call(self._start),
            "list": self._call(self._list, (read_objects,)),
            "event": self._call(lambda now, kind, item: self._informer.event(kind, item), (_kind, read_object)),
            "broken": self._call(self._broken),
            "tick": self._call(lambda now: None),
            "check_period": Operation(lambda now: {"ns": self._informer.start()}, (), ("ns",), ("ns",)),
        }

    def _call(self, change: Callable[..., None], read: tuple[Callable[[object], Any], ...] = ()) -> Operation:
        def replayed(now: Nanoseconds, *values: object) -> Answer:
            self._advance(now)
            change(now, *values)
            told, self._heard = self._heard, {}
            return {"told": told}

        return Operation(replayed, read, ("told",), ("told",))

    def _advance(self, now: Nanoseconds) -> None:
        while self._next is not None and self._next <= now:
            if self._informer.resync_due(self._next):
                before = {name: len(heard) for name, heard in self._heard.items()}
                self._informer.resync()
                for name, heard in self._heard.items():
                    _sort(heard, before.get(name, 0))
            self._next += self._check_period

    def _add_listener(self, now: Nanoseconds, name: str, period: Nanoseconds | None) -> None:
        def receive(notification: Notification) -> None:
            self._heard.setdefault(name, []).append(_heard(notification))

        self._listeners[name] = self._informer.add_listener(now, receive, period)
        _sort(self._heard.get(name, []), 0)

    def _remove_listener(self, now: Nanoseconds, name: str) -> None:
        self._informer.remove_listener(self._listeners.pop(name))

    def _start(self, now: Nanoseconds) -> None:
        self._check_period = self._informer.start()

    def _list(self, now: Nanoseconds, objects: list[ObjectMeta]) -> None:
        self._informer.list(objects)
        if self._check_period:
            self._next = now + self._check_period
        for name, heard in self._heard.items():
            self._heard[name] = _gone_by_key(heard)

    def _broken(self, now: Nanoseconds) -> None:
        self._next = None


def _shared_informer(config: Config) -> Operations:
    fifo, resync = config.take(read_text, "fifo", default="real"), config.take(_not_negative, "resync_ns", default=0)
    config.finish("fifo", "resync_ns")
    return _ReplayedInformer(fifo, resync).operations()


def _heard(notification: Notification) -> list[object]:
    kind = "tombstone" if notification.final_state_unknown else notification.type.value.lower()
    new = notification.object.resource_version if notification.object is not None else ""
    old = notification.old.resource_version if notification.old is not None else ""
    return [kind, notification.key, new, old, notification.initial and kind == "added"]


def _sort(heard: list[list[object]], start: int) -> None:
    heard[start:] = sorted(heard[start:], key=_key)


def _gone_by_key(heard: list[list[object]]) -> list[list[object]]:
    """Deletions that follow each other sorted by key."""
    ordered: list[list[object]] = []
    for gone, run in groupby(heard, lambda told: told[0] in ("deleted", "tombstone")):
        group = list(run)
        ordered.extend(sorted(group, key=_key) if gone else group)
    return ordered


def _key(told: list[object]) -> str:
    return str(told[1])


def _listener(config: Config) -> Operations:
    config.finish()
    queue = HandlerQueue()
    done: list[Nanoseconds] = []

    def offer(now: Nanoseconds, cost: Nanoseconds) -> Answer:
        done.append(queue.offer(now, cost))
        return {"ring": max(0, queue.backlog(now) - 1), "capacity": queue.ring_capacity}

    def handled(now: Nanoseconds, i: int) -> Answer:
        if not 0 <= i < len(done):
            raise Malformed(f"there is no notification {i}; allowed: 0 to {len(done) - 1}")
        return {"at_ns": done[i]}

    return {
        "offer": Operation(offer, (read_whole,), ("ring", "capacity"), ("ring", "capacity")),
        "handled": Operation(handled, (read_whole,), ("at_ns",), ("at_ns",)),
    }


def _written(obj: object) -> Answer:
    if not isinstance(obj, ObjectMeta):
        raise Malformed(f"{obj!r} is not an object of a trace")
    return {"ns": obj.namespace, "name": obj.name, "uid": obj.uid, "rv": obj.resource_version}


def _go_text(obj: Answer) -> str:
    """As Go prints the map: fields in the order of their names."""
    return "map[" + " ".join(f"{name}:{obj[name]}" for name in sorted(obj)) + "]"


def _version_text(version: int | None) -> str:
    return "" if version is None else str(version)


def _not_negative(value: object) -> int:
    number = read_whole(value)
    if number < 0:
        raise Malformed(f"{number} is negative")
    return number


def _period(value: object) -> int | None:
    return None if value is None else _not_negative(value)


def _draws(value: object) -> list[float]:
    if not isinstance(value, list) or not all(isinstance(draw, int | float) and 0 <= draw < 1 for draw in value):
        raise Malformed(f"{value!r} is not a list of uniforms in [0, 1)")
    return [float(draw) for draw in value]


def _version(value: object) -> int:
    if not isinstance(value, str) or not value.isdecimal():
        raise Malformed(f"{value!r} is not a resource version")
    return int(value)


def _kind(value: object) -> EventType:
    if not isinstance(value, str) or value not in _KINDS:
        raise Malformed(f"{value!r} is not a kind of event; allowed: {', '.join(_KINDS)}")
    return _KINDS[value]


def _error(value: object) -> ListWatchError:
    if not isinstance(value, str) or value not in ListWatchError.__members__:
        raise Malformed(f"{value!r} is not an error; allowed: {', '.join(ListWatchError.__members__)}")
    return ListWatchError[value]


INFORMER_MECHANISMS: Final[tuple[Mechanism, ...]] = (
    Mechanism("cache.reflector", _reflector),
    Mechanism("cache.shared_informer", _shared_informer),
    Mechanism("cache.listener", _listener),
)
"""The mechanisms of this file."""
