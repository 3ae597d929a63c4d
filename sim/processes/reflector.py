"""What a reflector sends to an API server, and what comes back: a list, and a watch with its stream.

    list     one request, one answer: objects and the revision that they are of
    watch    one request, answered at once; then a stream of events and bookmarks, until one `End`

What the server has written to a stream reaches the client one way later, in order. Nothing of it is handed on before the client
has the answer to its request and calls `flow`; nothing after it has called `close`. So whatever is still under way from a
connection that is over stays with that connection.

Source: client-go tools/cache/reflector.go; apiserver pkg/endpoints/handlers/watch.go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from sim.apiserver.objects import ApiObject, EventType, Labels, ObjectKey
from sim.apiserver.watch_dispatch import Closed, WatcherChannels
from sim.clientgo.reflector import List, ListWatchError, OpenWatch
from sim.journal import Samples
from sim.processes.events import Alarm, Call, Clock
from sim.units import SECOND, Nanoseconds

BEFORE: Nanoseconds = -1
"""`done` of what was there before the watch: nobody waited for it."""


class Happened(NamedTuple):
    """An event: when it was done at etcd, and when it arrives at the watch cache, nanoseconds."""

    kind: EventType
    key: ObjectKey
    object: ApiObject
    revision: int
    done: Nanoseconds
    arrives: Nanoseconds


class Bookmark(NamedTuple):
    """Everything up to `revision` has been told. initial_events_end: and with it what was there when the stream began."""

    revision: int
    initial_events_end: bool = False


class End(NamedTuple):
    """The stream is over: why, as the server counts it, and the error that its last event tells, None: none."""

    reason: str
    error: ListWatchError | None = None


Told = Happened | Bookmark | End


class Reads(Protocol):
    """The cache of one resource at an API server, as its readers see it."""

    def serve(self, read: ListRequest | Stream, call: Call) -> None:
        """A handler is at a request."""

    def leave(self, stream: Stream) -> None:
        """The client has gone away."""


class Sent:
    """What the clients of one API server have been told.

    sent: events; lags: from etcd to the client, of each event that happened during its watch or was caught up with; closed:
    streams by why they ended.
    """

    def __init__(self) -> None:
        self.sent = 0
        self.bookmarks = 0
        self.lags = Samples()
        self.closed: dict[str, int] = {}

    def over(self, reason: str) -> None:
        """A stream has ended."""
        self.closed[reason] = self.closed.get(reason, 0) + 1


class ListRequest:
    """One list, or one page of it. again: the informer had a list before.

    The answer: `objects`, `revision`, `continues` (None with the last page), or `error`.
    """

    def __init__(self, cache: Reads, selector: Labels, wanted: List, again: bool = False):
        self._cache, self.selector, self.wanted, self.again = cache, selector, wanted, again
        self.resource_version = wanted.resource_version
        self.required = wanted.resource_version or 0
        self.objects: list[ApiObject] = []
        self.revision = 0
        self.continues: object = None
        self.error: ListWatchError | None = None

    @property
    def consistent(self) -> bool:
        """Whether etcd is asked first how far it is: no version given, or pages of a given one, or pages that go on."""
        return self.resource_version is None or (self.resource_version > 0 and self.wanted.limit > 0)

    def serve(self, call: Call) -> None:
        """A handler of the API server is at it."""
        self._cache.serve(self, call)


class Stream:
    """One watch: the request, and the connection that stays open.

    receive: is told each event, bookmark, and the end. cost: time that the server spends on each event, the client's reading
    included, nanoseconds. again: the informer had a list before.

    The server's side: `channels`, `open` (it is served), `started_at` (the revision before its first event), `deadline`.
    """

    __slots__ = (
        "_alarm", "_cache", "_flows", "_told", "_way", "again", "channels", "cost", "deadline", "env", "open", "receive",
        "required", "resource_version", "selector", "started_at", "to_client", "wanted",
    )  # fmt: skip

    def __init__(
        self, env: Clock, cache: Reads, told: Sent, selector: Labels, wanted: OpenWatch, to_client: Nanoseconds,
        cost: Nanoseconds, receive: Callable[[Told], None], again: bool = False,
    ):  # fmt: skip
        self.env, self._cache, self._told, self.selector, self.wanted = env, cache, told, selector, wanted
        self.to_client, self.cost, self.receive, self.again = to_client, cost, receive, again
        self.resource_version = wanted.resource_version
        self.required = wanted.resource_version or 0
        self.open = False
        self.started_at = 0
        self.deadline: Nanoseconds = 0
        self.channels: WatcherChannels
        self._way: deque[tuple[Nanoseconds, Told]] = deque()  # (at the client, what), in order
        self._flows = False
        self._alarm = Alarm(env, self._ring)

    @property
    def consistent(self) -> bool:
        """Whether etcd is asked first how far it is: a stream of all there is, at no given version."""
        return self.wanted.send_initial_events and self.resource_version is None

    @property
    def lasts(self) -> Nanoseconds:
        """How long the client wants it, nanoseconds."""
        return self.wanted.timeout_seconds * SECOND

    def serve(self, call: Call) -> None:
        """A handler of the API server is at it."""
        self._cache.serve(self, call)

    # ---- the server writes

    def send(self, at: Nanoseconds, what: Told) -> None:
        """The server is through with it at `at`; times never fall."""
        at += self.to_client
        self._way.append((at, what))
        if self._flows and self._alarm.callbacks is None:
            self._alarm.arm(at - self.env._now)

    def cut(self, at: Nanoseconds, end: End) -> None:
        """The server ends the connection at `at`: what it has not written by then is not sent."""
        last, way = at + self.to_client, self._way
        while way and way[-1][0] > last:
            way.pop()
        self._finish(last, end)

    def lose(self, closed: Closed, end: End) -> None:
        """The server ends a watch that is too slow: the last of what it wanted to send is not sent."""
        way = self._way
        for _ in range(min(closed.lost, len(way))):
            way.pop()
        last = closed.ends + self.to_client
        self._finish(max(last, way[-1][0]) if way else last, end)

    def _finish(self, at: Nanoseconds, end: End) -> None:
        self._way.append((at, end))
        if self._flows:
            self._rearm()

    # ---- the client reads

    def flow(self) -> None:
        """The client has its answer, and reads."""
        self._flows = True
        if self._way:
            self._rearm()

    def close(self) -> None:
        """The client goes away: it is told nothing more."""
        if self.open:
            self._cache.leave(self)
            self._told.over("client")
        elif self._way:
            end = self._way[-1][1]
            if isinstance(end, End):
                self._told.over(end.reason)
        self._way.clear()
        self._flows = False

    def _rearm(self) -> None:
        if self._alarm.armed:  # maybe for later: that one will ring for nothing
            self._alarm = Alarm(self.env, self._ring)
        now = self.env._now
        self._alarm.arm(max(0, self._way[0][0] - now))

    def _ring(self, alarm: Alarm) -> None:
        if alarm is not self._alarm:
            return
        now, way, told = self.env._now, self._way, self._told
        while way and way[0][0] <= now and self._flows:
            what = way.popleft()[1]
            if what.__class__ is Happened:
                told.sent += 1
                if what.done >= 0:
                    told.lags.add(now - what.done)
            elif what.__class__ is Bookmark:
                told.bookmarks += 1
            else:
                told.over(what.reason)  # type: ignore[union-attr]
            self.receive(what)
        if way and self._flows and self._alarm.callbacks is None:
            self._alarm.arm(way[0][0] - now)
