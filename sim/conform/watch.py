"""Golden traces of the watch cache: its history, the budget for slow watchers, bookmarks, and dispatch.

`apiserver.watch_history`. `events_since` answers `expired`, the revision from which a watch may start, or the revisions of
the events (of more than six the first and the last three, and their count). `apiserver.time_budget`, `apiserver.bookmarks`:
the calls of TimeBudget and BookmarkTimes. `apiserver.watch_dispatch`. `open` is a watcher: name, slots of a channel, and its
initial events: the first's revision, how many, what each costs. `dispatch` hands a revision to each watcher with what it
costs it (null: filtered out); `closed` is sorted as the watchers were opened. At the end, what each was `delivered`, and when
a closed watch `ended`.

The rows have the fields of `Operation` in mechanisms.py, as those of flow.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sim.apiserver.watch_dispatch import Dispatcher, TimeBudget, WatcherChannels
from sim.apiserver.watch_history import BookmarkTimes, Expired, WatchHistory
from sim.conform.flow import Answer, Row, Rows, Settings
from sim.units import Nanoseconds


def _history(config: Settings) -> Rows:
    history: WatchHistory[int] = WatchHistory(config.take(_whole, "window_ns"))
    config.finish("window_ns")

    def state(**more: object) -> Answer:
        return {"capacity": history.capacity, "len": len(history), "rv": history.revision, **more}

    def added(now: Nanoseconds, revision: int) -> Answer:
        history.add(now, revision, revision)
        return state()

    def listed(now: Nanoseconds, revision: int) -> Answer:
        history.replaced(revision)
        return state()

    def progressed(now: Nanoseconds, revision: int) -> Answer:
        history.progressed(revision)
        return state()

    def since(now: Nanoseconds, revision: int) -> Answer:
        events = history.events_since(revision)
        if isinstance(events, Expired):
            return state(expired=events.oldest, events=[])
        if len(events) > 6:
            return state(expired=None, events=[*events[:3], *events[-3:]], count=len(events))
        return state(expired=None, events=events)

    answers = ("capacity", "len", "rv")
    return {
        "add": Row(added, (_whole,), answers, answers),
        "list": Row(listed, (_whole,), answers, answers),
        "progress": Row(progressed, (_whole,), answers, answers),
        "events_since": Row(since, (_whole,), (*answers, "expired", "events", "count"), (*answers, "expired", "events")),
    }


def _time_budget(config: Settings) -> Rows:
    config.finish()
    budget = TimeBudget(0)

    def give_back(now: Nanoseconds, unused: Nanoseconds) -> Answer:
        budget.give_back(unused)
        return {}

    return {
        "take": Row(lambda now: {"budget_ns": budget.take(now)}, (), ("budget_ns",), ("budget_ns",)),
        "give_back": Row(give_back, (_whole,)),
    }


def _bookmarks(config: Settings) -> Rows:
    config.finish()
    times: BookmarkTimes[str] = BookmarkTimes(0, lambda: 0.0)  # the instants of the ticks stand in the trace
    return {
        "register": Row(_silent(times.register), (_text, _whole_or_none, _flag)),
        "unregister": Row(_silent(lambda now, who: times.unregister(who)), (_text,)),
        "initial_sent": Row(_silent(lambda now, who: times.initial_sent(who)), (_text,)),
        "tick": Row(lambda now: {"due": times.tick(now)}, (), ("due",), ("due",)),
    }


class _Watchers:
    """Watchers of a trace by name: their channels, what they have been delivered, and when their watch ended."""

    def __init__(self) -> None:
        self._dispatcher: Dispatcher[str] = Dispatcher(0)
        self._channels: dict[str, WatcherChannels] = {}
        self._deliveries: dict[str, list[tuple[int, Nanoseconds]]] = {}
        self._ends: dict[str, Nanoseconds] = {}

    def open(self, now: Nanoseconds, name: str, size: int, first: int, count: int, cost: Nanoseconds) -> Answer:
        channels = self._channels[name] = WatcherChannels(size)
        channels.prime(now, count, cost)
        self._deliveries[name] = [(first + i, now + (i + 1) * cost) for i in range(count)]
        return {}

    def dispatch(self, now: Nanoseconds, revision: int, offers: list[tuple[str, Nanoseconds | None]]) -> Answer:
        result = self._dispatcher.dispatch(now, ((name, self._channels[name], cost) for name, cost in offers))
        for name, at in result.deliveries.items():
            self._deliveries[name].append((revision, at))
        for name, closed in result.closed.items():
            if closed.lost:
                del self._deliveries[name][-closed.lost :]
            self._ends[name] = closed.ends
        return {"done_ns": result.done, "closed": [name for name, _ in offers if name in result.closed]}

    def delivered(self, now: Nanoseconds, name: str) -> Answer:
        deliveries = self._deliveries[name]
        last, at = deliveries[-1] if deliveries else (None, 0)
        return {"count": len(deliveries), "last": last, "last_at_ns": at}

    def ended(self, now: Nanoseconds, name: str) -> Answer:
        return {"at_ns": self._ends.get(name)}


def _dispatch(config: Settings) -> Rows:
    config.finish()
    watchers = _Watchers()
    dispatched, delivered = ("done_ns", "closed"), ("count", "last", "last_at_ns")
    return {
        "open": Row(watchers.open, (_text, _whole, _whole, _whole, _whole)),
        "dispatch": Row(watchers.dispatch, (_whole, _offers), dispatched, dispatched),
        "delivered": Row(watchers.delivered, (_text,), delivered, delivered),
        "ended": Row(watchers.ended, (_text,), ("at_ns",), ("at_ns",)),
    }


def _silent(call: Callable[..., None]) -> Callable[..., Answer]:
    def called(*values: object) -> Answer:
        call(*values)
        return {}

    return called


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{value!r} is not a whole number")
    return value


def _whole_or_none(value: object) -> int | None:
    return None if value is None else _whole(value)


def _offers(value: object) -> list[tuple[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(offer, list) and len(offer) == 2 for offer in value):
        raise ValueError(f"{value!r} is not a list of [watcher, cost]")
    return [(_text(name), _whole_or_none(cost)) for name, cost in value]


WATCH_MECHANISMS: Final[dict[str, Callable[[Settings], Rows]]] = {
    "apiserver.watch_history": _history,
    "apiserver.time_budget": _time_budget,
    "apiserver.bookmarks": _bookmarks,
    "apiserver.watch_dispatch": _dispatch,
}
"""Each mechanism's rows, made of its config."""
