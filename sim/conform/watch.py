"""Golden traces of the watch cache: its history, the budget for slow watchers, bookmarks, and dispatch.

`apiserver.watch_history`. `events_since` answers `expired`, the revision from which a watch may start, or the revisions of
the events (of more than six the first and the last three, and their count). `apiserver.time_budget`, `apiserver.bookmarks`:
the calls of TimeBudget and BookmarkTimes. `apiserver.watch_dispatch`. `open` is a watcher: name, slots of a channel, and its
initial events: the first's revision, how many, what each costs. `dispatch` hands a revision to each watcher with what it
costs it (null: filtered out); `closed` is sorted as the watchers were opened. At the end, what each was `delivered`, and when
a closed watch `ended`.
"""

from __future__ import annotations

from typing import Any, Final

from sim.apiserver.watch_dispatch import Dispatcher, TimeBudget, WatcherChannels
from sim.apiserver.watch_history import BookmarkTimes, Expired, WatchHistory
from sim.conform.format import Answer, Config, Mechanism, Operation, Operations, read_flag, read_text, read_whole, silent
from sim.units import Nanoseconds


def _history(config: Config) -> Operations:
    history: WatchHistory[int] = WatchHistory(config.take(read_whole, "window_ns"))
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
        "add": Operation(added, (read_whole,), answers, answers),
        "list": Operation(listed, (read_whole,), answers, answers),
        "progress": Operation(progressed, (read_whole,), answers, answers),
        "events_since": Operation(since, (read_whole,), (*answers, "expired", "events", "count"), (*answers, "expired", "events")),
    }


def _time_budget(config: Config) -> Operations:
    config.finish()
    budget = TimeBudget(0)

    def give_back(now: Nanoseconds, unused: Nanoseconds) -> Answer:
        budget.give_back(unused)
        return {}

    return {
        "take": Operation(lambda now: {"budget_ns": budget.take(now)}, (), ("budget_ns",), ("budget_ns",)),
        "give_back": Operation(give_back, (read_whole,)),
    }


def _bookmarks(config: Config) -> Operations:
    config.finish()
    times: BookmarkTimes[str] = BookmarkTimes(0, lambda: 0.0)  # the instants of the ticks stand in the trace
    return {
        "register": Operation(silent(times.register), (read_text, _whole_or_none, read_flag)),
        "unregister": Operation(silent(lambda now, who: times.unregister(who)), (read_text,)),
        "initial_sent": Operation(silent(lambda now, who: times.initial_sent(who)), (read_text,)),
        "tick": Operation(lambda now: {"due": times.tick(now)}, (), ("due",), ("due",)),
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


def _dispatch(config: Config) -> Operations:
    config.finish()
    watchers = _Watchers()
    dispatched, delivered = ("done_ns", "closed"), ("count", "last", "last_at_ns")
    return {
        "open": Operation(watchers.open, (read_text, read_whole, read_whole, read_whole, read_whole)),
        "dispatch": Operation(watchers.dispatch, (read_whole, _offers), dispatched, dispatched),
        "delivered": Operation(watchers.delivered, (read_text,), delivered, delivered),
        "ended": Operation(watchers.ended, (read_text,), ("at_ns",), ("at_ns",)),
    }


def _whole_or_none(value: object) -> int | None:
    return None if value is None else read_whole(value)


def _offers(value: object) -> list[tuple[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(offer, list) and len(offer) == 2 for offer in value):
        raise ValueError(f"{value!r} is not a list of [watcher, cost]")
    return [(read_text(name), _whole_or_none(cost)) for name, cost in value]


WATCH_MECHANISMS: Final[tuple[Mechanism, ...]] = (
    Mechanism("apiserver.watch_history", _history),
    Mechanism("apiserver.time_budget", _time_budget),
    Mechanism("apiserver.bookmarks", _bookmarks),
    Mechanism("apiserver.watch_dispatch", _dispatch),
)
"""Each mechanism's rows, made of its config."""
