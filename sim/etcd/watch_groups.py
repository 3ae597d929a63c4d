"""Who watches what at etcd: declarations, what they watch, and the streams of those that are open.

Source: etcd server/storage/mvcc/watchable_store.go (watcher), watcher_group.go (watcherGroup). Times in nanoseconds.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import Final

import numpy as np

from sim.etcd.request import Shape
from sim.etcd.watch_stream import Array, Client, Heard, WatchStream
from sim.units import Nanoseconds

NOTHING: Final = np.empty(0, dtype=np.int64)


@unique
class State(Enum):
    """What a watcher is to the store."""

    SYNCED = 0
    UNSYNCED = 1
    VICTIM = 2


@dataclass(slots=True, eq=False)
class Part:
    """`count` watchers of one stream that are in the same state. wants: the first revision that they have not been given (minRev).
    held: a victim's response, when its events happened."""

    count: int
    wants: int
    state: State = State.SYNCED
    held: Array = field(default_factory=lambda: NOTHING)


@dataclass(slots=True)
class Tally:
    """What became of the watchers of one declaration. watchers: open now; compacted: cancelled, because what they wanted was; full:
    events of single writes that found the channel full; behind: the most revisions that one of them was in a round; pending:
    the most events in a channel."""

    heard: Heard = field(default_factory=Heard)
    watchers: int = 0
    opened: int = 0
    compacted: int = 0
    full: int = 0
    behind: int = 0
    pending: int = 0
    applying: Nanoseconds = 0


@dataclass(slots=True, eq=False)
class Group:
    """Watchers that are declared alike: `streams` streams of `each` watchers. at: when they open; behind: how many revisions before
    the newest they begin, 0 for what comes. again: after being cancelled, how long until they watch what comes; None: never."""

    target: Target
    client: Client
    streams: int
    each: int = 1
    at: Nanoseconds = 0
    behind: int = 0
    again: Nanoseconds | None = None
    tally: Tally = field(default_factory=Tally)


@dataclass(slots=True, eq=False)
class Target:
    """What is watched: objects of some kinds. Keeps their revisions that somebody may still want, and when each was written."""

    shapes: list[Shape]
    revisions: array[int] = field(default_factory=lambda: array("q"))
    times: array[int] = field(default_factory=lambda: array("q"))
    streams: list[Stream] = field(default_factory=list)
    kept: int = 0  # rows when it last forgot something

    def slow_down(self, cost: Nanoseconds) -> None:
        """So much longer takes each write from now on."""
        for shape in self.shapes:
            shape.apply_ns += cost


@dataclass(slots=True, eq=False)
class Stream:
    """A stream, or copies of it with a watcher each, and who watches on it."""

    group: Group
    channel: WatchStream
    parts: list[Part]

    @property
    def copies(self) -> int:
        """How many streams this stands for."""
        return self.channel.copies

    def take(self, copies: int) -> Stream:
        """So many of the copies as a stream of their own."""
        (part,) = self.parts
        return Stream(self.group, self.channel.split(copies), [Part(part.count, part.wants, part.state, part.held)])

    def take_part(self, part: Part, count: int) -> Part:
        """So many of the watchers of a part as one of their own."""
        part.count -= count
        own = Part(count, part.wants, part.state, part.held)
        self.parts.append(own)
        return own

    def put(self, part: Part, fits: int, at: Nanoseconds, happened: Array) -> None:
        """`fits` watchers of a part get a response."""
        for _ in range(fits):
            self.channel.put(at, happened)
        if fits:
            tally = self.group.tally
            tally.pending = max(tally.pending, self.channel.pending(at))
