"""client-go's Reflector: list, then watch, for ever, and what it does when something breaks.

    outer loop    list or stream -> watch until it cannot go on -> back off -> from the beginning
    list          rv 0 at first, then no older than the last version seen; "most recent" once that version is gone
    stream        a watch that tells the present objects first, up to a bookmark that says so (WatchList)
    watch         from the last version; opened again at once when the server closes it; refusals back off and try again

One state machine: the owner asks `next` what to do (list, open a watch, sleep), does it, and says what came back. None
from `next` means: an answer or an event is awaited. What arrives goes to a sink, at once while watching, all together
after a list or a stream.

    phase        left by                              to
    LIST         next                                 LISTING
    LISTING      listed: a page, more to come         LIST
                 listed                               WATCH
                 list_failed: version gone, once      LIST at "most recent"
                 list_failed                          RESTING, then LIST or WATCH
    WATCH        next                                 OPENING
    OPENING      watch_opened                         WATCHING
                 watch_failed                         RESTING, then WATCH | RESTING, then from the beginning
    WATCHING     bookmark that ends a stream          WATCHING
                 watch_closed                         WATCH | RESTING, then from the beginning
                 watch_failed                         WATCH | RESTING, then WATCH or from the beginning | LIST
    RESTING      next, when the time has come         LIST or WATCH

Every way "from the beginning" is a full list: a 410 costs one, and so does a watch that ends within its first second
without an event. There is one backoff for all of it. It also stands between a watch that cannot go on and its relist.

Sources: k8s.io/client-go v0.35.0, tools/cache/reflector.go, retry_with_deadline.go, tools/pager/pager.go; the same
files of v0.27.0 to v0.37.2 for what changed. Left out: type checks of objects, the consistency check of streams, stop;
the error handler's wait of up to 1 ms after each failed round; that from 0.36 a watch that was opened at version 0
remembers no version before the first event that is not Added.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final, NamedTuple, Protocol

from sim.apiserver.objects import EventType
from sim.clientgo.backoff import Backoff, ExponentialBackoffManager, Uniforms, reflector_backoff
from sim.clientgo.keys import deletion_handling_meta_namespace_key
from sim.clientgo.store import Store
from sim.units import MILLISECOND, MINUTE, SECOND, Nanoseconds

MOST_RECENT: Final = None
"""Resource version "": the newest there is, by a quorum read."""
ANY_VERSION: Final = 0
"""Resource version "0": whatever the watch cache holds."""

DEFAULT_PAGE_SIZE: Final = 500
"""defaultPageSize of tools/pager/pager.go."""
MIN_WATCH_TIMEOUT: Final[Nanoseconds] = 5 * MINUTE
"""defaultMinWatchTimeout; a watch's timeout lies between this and twice this."""
VERY_SHORT_WATCH: Final[Nanoseconds] = SECOND
"""A watch that ends sooner than this and brought nothing is an error (VeryShortWatchError)."""
INTERNAL_ERROR_MEMORY: Final[Nanoseconds] = MINUTE
"""Internal errors further apart than this do not belong together (minResetPeriod)."""


class ListWatchError(Enum):
    """Why a list or a watch was refused or broke off, as far as a reflector tells errors apart."""

    CONNECTION_REFUSED = "connection refused"
    TOO_MANY_REQUESTS = "429 TooManyRequests"
    EXPIRED = "410 Expired"
    GONE = "410 Gone"
    TOO_LARGE_RESOURCE_VERSION = "504 Timeout: too large resource version"
    INTERNAL = "500 InternalError"
    INVALID = "422 Invalid"
    OTHER = "any other"


_RETRIED: Final = frozenset({ListWatchError.CONNECTION_REFUSED, ListWatchError.TOO_MANY_REQUESTS})
_EXPIRED: Final = frozenset({ListWatchError.EXPIRED, ListWatchError.GONE})
_UNAVAILABLE: Final = _EXPIRED | {ListWatchError.TOO_LARGE_RESOURCE_VERSION}


class List(NamedTuple):
    """Send a list. resource_version: not older than this, or MOST_RECENT or ANY_VERSION.

    limit: objects a page, 0 for all at once. continue_token: what the page before ended with, None for the first.
    """

    resource_version: int | None
    limit: int
    continue_token: object = None


class OpenWatch(NamedTuple):
    """Open a watch after resource_version, for timeout_seconds, with bookmarks.

    send_initial_events: a stream (WatchList), which also asks for resourceVersionMatch NotOlderThan.
    """

    resource_version: int | None
    timeout_seconds: int
    allow_watch_bookmarks: bool = True
    send_initial_events: bool = False

    @property
    def resource_version_match(self) -> str:
        """`NotOlderThan` for a stream, else empty."""
        return "NotOlderThan" if self.send_initial_events else ""


class Sleep(NamedTuple):
    """Do nothing before `until` (nanoseconds), then ask `next` again."""

    until: Nanoseconds


class Sink(Protocol):
    """Who is told: `sim.clientgo.informer.SharedInformer`."""

    def list(self, objects: Iterable[object], /) -> None:
        """These are all objects; everything else is gone (Replace)."""

    def event(self, kind: EventType, item: object, /) -> None:
        """One event of the watch."""


@dataclass(frozen=True, slots=True)
class ReflectorSettings:
    """What differs between releases of client-go, and what a program may set; durations in nanoseconds.

    watch_list: stream instead of list where the server can (feature WatchListClient). falls_back_on_any_error: whether a
    stream that fails is followed by a list at once, or only where the server says Invalid. backoff_resets_when_idle:
    after two minutes in which nobody asked it, or else two minutes after its last reset, however busy. own_watch_backoff:
    retries of the watch have a backoff of their own. min_watch_timeout: less than 5 min counts as 5 min. page_size: 0
    for the default and its rules. internal_error_retry: how long internal errors of a watch lead to a new watch instead
    of a list (the API server's own reflectors: 30 s). resync_period: 0 for never.
    """

    watch_list: bool = True
    falls_back_on_any_error: bool = True
    backoff_resets_when_idle: bool = True
    own_watch_backoff: bool = False
    min_watch_timeout: Nanoseconds = MIN_WATCH_TIMEOUT
    page_size: int = 0
    internal_error_retry: Nanoseconds = 0
    resync_period: Nanoseconds = 0

    @staticmethod
    def of(release: tuple[int, int]) -> ReflectorSettings:
        """The defaults of a release of client-go, such as (0, 34); 0.27 to 0.37 were read."""
        return ReflectorSettings(
            watch_list=release >= (0, 35),  # features/known_features.go: beta and off from 0.30, on from 0.35
            falls_back_on_any_error=release >= (0, 29),
            backoff_resets_when_idle=release < (0, 36),  # from then on wait.Backoff.DelayWithReset
            own_watch_backoff=release < (0, 28),  # initConnBackoffManager
        )

    def resyncing(self, period: Nanoseconds) -> ReflectorSettings:
        """The same with a resync check each `period`, nanoseconds."""
        return replace(self, resync_period=period)


class _Phase(Enum):
    LIST = auto()
    LISTING = auto()
    WATCH = auto()
    OPENING = auto()
    WATCHING = auto()
    RESTING = auto()


class _Goal(Enum):
    """What comes after a rest."""

    BEGIN = auto()
    WATCH = auto()


class Reflector:
    """One reflector, started at `now`. Methods raise ValueError for an answer that nobody asked for.

    sink: who is told of objects. stream: the draws, one for each backoff and each watch's timeout, in order.
    last_sync_resource_version: the newest version known, from lists, events and bookmarks (None: none yet).
    next_resync: when the resync timer fires (None: it does not run); it starts anew with each list or stream.
    """

    __slots__ = (
        "_asked_any", "_backoff", "_events", "_first_internal_error", "_goal", "_last_internal_error", "_list",
        "_list_version", "_page_size", "_pages", "_pages_version", "_paginated", "_phase", "_prefers_pages", "_second",
        "_settings", "_sink", "_started", "_stream", "_streaming", "_temporary", "_unavailable", "_until",
        "_watch_backoff", "_whole", "last_sync_resource_version", "next_resync",
    )  # fmt: skip

    def __init__(self, now: Nanoseconds, sink: Sink, stream: Uniforms, settings: ReflectorSettings | None = None):
        self._settings = settings or ReflectorSettings()
        self._sink, self._stream = sink, stream
        self._backoff = self._new_backoff(now)
        self._watch_backoff = self._new_backoff(now) if self._settings.own_watch_backoff else self._backoff
        self.last_sync_resource_version: int | None = None
        self.next_resync: Nanoseconds | None = None
        self._phase = _Phase.LIST
        self._goal, self._until = _Goal.BEGIN, now
        self._unavailable = False  # the last version is gone, or is not there yet: ask for the most recent
        # The list: which version and pages are asked for, whether this is the second round, whether pages were given up.
        self._list = List(ANY_VERSION, 0)
        self._list_version: int | None = None
        self._page_size, self._second, self._whole = 0, False, False
        self._asked_any = self._paginated = self._prefers_pages = False
        self._pages: list[object] | None = None
        self._pages_version = 0
        # The watch: since when, how much it has brought, and what a stream has told so far.
        self._started, self._events, self._streaming = now, 0, False
        self._temporary = Store(deletion_handling_meta_namespace_key)
        self._first_internal_error: Nanoseconds | None = None
        self._last_internal_error: Nanoseconds | None = None
        self._begin()

    # What to do next.

    def next(self, now: Nanoseconds) -> List | OpenWatch | Sleep | None:
        """What the owner is to do at `now`; None: wait for an answer or for events."""
        if self._phase is _Phase.RESTING:
            if now < self._until:
                return Sleep(self._until)
            if self._goal is _Goal.BEGIN:
                self._begin()
            else:
                self._phase = _Phase.WATCH
        if self._phase is _Phase.LIST:
            self._phase = _Phase.LISTING
            return self._list
        if self._phase is _Phase.WATCH:
            return self._open(now)
        return None

    @property
    def is_watching(self) -> bool:
        """Whether a watch is open: events and bookmarks are welcome."""
        return self._phase is _Phase.WATCHING

    # What came back from a list.

    def listed(self, now: Nanoseconds, resource_version: int, items: Iterable[object], continue_token: object = None) -> None:
        """A page of the list, or all of it. continue_token: None with the last page."""
        self._require(_Phase.LISTING)
        if self._whole or (continue_token is None and self._pages is None):
            self._populate(now, resource_version, items)
            return
        if self._pages is None:
            self._pages, self._pages_version = [], resource_version
        self._pages.extend(items)
        if continue_token is None:
            self._populate(now, self._pages_version, self._pages)
            return
        self._paginated = True
        # A version must not be given together with a token: the token carries it.
        self._list = List(MOST_RECENT, self._page_size, continue_token)
        self._phase = _Phase.LIST

    def list_failed(self, now: Nanoseconds, error: ListWatchError) -> None:
        """The list was refused."""
        self._require(_Phase.LISTING)
        if error is ListWatchError.EXPIRED and self._list.continue_token is not None:
            # Compaction has overtaken the pages: all at once, at the version that was asked for.
            self._list, self._whole = List(self._list_version, 0), True
            self._phase = _Phase.LIST
        elif error in _UNAVAILABLE and not self._second:
            self._unavailable = self._second = True
            self._begin_pages(MOST_RECENT)
        else:
            self._restart(now)

    # What came of a watch.

    def watch_opened(self, now: Nanoseconds) -> None:
        """The server has accepted the watch."""
        self._require(_Phase.OPENING)
        self._phase = _Phase.WATCHING

    def event(self, now: Nanoseconds, kind: EventType, item: object, resource_version: int) -> None:
        """An object was added, modified or deleted."""
        if self._phase is not _Phase.WATCHING:
            self._require(_Phase.WATCHING)
        self._events += 1
        if not self._streaming:
            self._sink.event(kind, item)
            self.last_sync_resource_version = resource_version
        elif kind is EventType.DELETED:
            self._temporary.delete(item)
        else:
            self._temporary.update(item)

    def bookmark(self, now: Nanoseconds, resource_version: int, initial_events_end: bool = False) -> None:
        """Everything up to `resource_version` has been told. initial_events_end: and with it all that a stream lists."""
        self._require(_Phase.WATCHING)
        self._events += 1
        if not self._streaming:
            self.last_sync_resource_version = resource_version
        elif initial_events_end:
            objects, self._temporary = self._temporary.list_objects(), Store(deletion_handling_meta_namespace_key)
            self._streaming = False
            self._take(now, resource_version, objects)
            self._phase = _Phase.WATCHING  # the same connection goes on, but counts as a new watch
            self._started, self._events = now, 0

    def watch_closed(self, now: Nanoseconds) -> None:
        """The watch has ended without an error: its timeout, or the server went away."""
        self._require(_Phase.WATCHING)
        very_short = now - self._started < VERY_SHORT_WATCH and self._events == 0
        if not very_short:
            self._phase = _Phase.WATCH
        elif self._streaming:
            self._stream_failed(now, ListWatchError.OTHER)
        else:
            self._restart(now)

    def watch_failed(self, now: Nanoseconds, error: ListWatchError) -> None:
        """The watch was refused (before `watch_opened`), or has ended with an error event."""
        if self._phase is not _Phase.OPENING:
            self._require(_Phase.WATCHING)
        if self._streaming:
            self._stream_failed(now, error)
        elif self._phase is _Phase.OPENING:
            self._refused(now, error)
        else:
            self._broken(now, error)

    # The resync timer, which never asks the server for anything.

    def resync_fired(self, now: Nanoseconds) -> None:
        """`next_resync` has come: the owner has asked its listeners and resynced; the timer runs again."""
        if self.next_resync is not None:
            self.next_resync = now + self._settings.resync_period

    # From here on: how the phases follow each other.

    def _begin(self) -> None:
        self._streaming = self._settings.watch_list
        if self._streaming:
            self._phase = _Phase.WATCH
        else:
            self._begin_list()

    def _begin_list(self) -> None:
        version = self._relist_version()
        self._asked_any, self._second = version == ANY_VERSION, False
        if self._settings.page_size:
            self._page_size = self._settings.page_size
        elif version and not self._prefers_pages:
            self._page_size = 0  # pages would be read from etcd, and not from the watch cache
        else:
            self._page_size = DEFAULT_PAGE_SIZE
        self._begin_pages(version)

    def _begin_pages(self, version: int | None) -> None:
        self._list_version, self._list = version, List(version, self._page_size)
        self._pages, self._pages_version = None, 0
        self._paginated = self._whole = False
        self._phase = _Phase.LIST

    def _relist_version(self) -> int | None:
        if self._unavailable:
            return MOST_RECENT
        return ANY_VERSION if self.last_sync_resource_version is None else self.last_sync_resource_version

    def _populate(self, now: Nanoseconds, version: int, items: Iterable[object]) -> None:
        if self._asked_any and self._paginated:
            self._prefers_pages = True  # there is no watch cache: relists may as well be paged
        self._take(now, version, items)
        self._phase = _Phase.WATCH

    def _take(self, now: Nanoseconds, version: int, items: Iterable[object]) -> None:
        self._unavailable = False
        self._sink.list(items)
        self.last_sync_resource_version = version
        self._first_internal_error = self._last_internal_error = None
        if self._settings.resync_period:
            self.next_resync = now + self._settings.resync_period

    def _open(self, now: Nanoseconds) -> OpenWatch:
        seconds = max(self._settings.min_watch_timeout, MIN_WATCH_TIMEOUT) / SECOND
        timeout = int(seconds * (self._stream.uniform() + 1.0))
        version = self.last_sync_resource_version
        if self._streaming:
            version = MOST_RECENT if self._unavailable else version
            self._temporary = Store(deletion_handling_meta_namespace_key)
        self._started, self._events = now, 0  # before the request: a proxy may hold back the answer
        self._phase = _Phase.OPENING
        return OpenWatch(version, timeout, send_initial_events=self._streaming)

    def _stream_failed(self, now: Nanoseconds, error: ListWatchError) -> None:
        if error in _RETRIED:
            self._rest(now, self._watch_backoff, _Goal.WATCH)
        elif error in _UNAVAILABLE:
            self._unavailable = True
            self._phase = _Phase.WATCH
        elif self._settings.falls_back_on_any_error or error is ListWatchError.INVALID:
            self._streaming = False
            self._begin_list()
        else:
            self._restart(now)

    def _refused(self, now: Nanoseconds, error: ListWatchError) -> None:
        if error in _RETRIED:
            self._rest(now, self._watch_backoff, _Goal.WATCH)
        else:
            self._restart(now)

    def _broken(self, now: Nanoseconds, error: ListWatchError) -> None:
        if error is ListWatchError.TOO_MANY_REQUESTS:
            self._rest(now, self._watch_backoff, _Goal.WATCH)
        elif error is ListWatchError.INTERNAL and self._retries_internal_error(now):
            self._phase = _Phase.WATCH
        else:
            self._restart(now)

    def _retries_internal_error(self, now: Nanoseconds) -> bool:
        """RetryWithDeadline: errors less than a minute apart are one spell, which may last for `internal_error_retry`."""
        last = self._last_internal_error
        if last is None or now - last >= INTERNAL_ERROR_MEMORY:
            self._first_internal_error = None
        if self._first_internal_error is None:
            self._first_internal_error = now
        self._last_internal_error = now
        limit = self._settings.internal_error_retry
        return limit > 0 and now - self._first_internal_error <= limit

    def _restart(self, now: Nanoseconds) -> None:
        """Leave list-and-watch; the outer loop begins again after a backoff."""
        self.next_resync = None
        self._rest(now, self._backoff, _Goal.BEGIN)

    def _rest(self, now: Nanoseconds, backoff: _BackoffManager, goal: _Goal) -> None:
        self._until, self._goal = now + backoff.next(now), goal
        self._phase = _Phase.RESTING

    def _new_backoff(self, now: Nanoseconds) -> _BackoffManager:
        if self._settings.backoff_resets_when_idle:
            return reflector_backoff(now, self._stream)
        return _DelayWithReset(now, self._stream)

    def _require(self, phase: _Phase) -> None:
        if self._phase is not phase:
            raise ValueError(f"not expected while {self._phase.name}: only while {phase.name}")


class _DelayWithReset:
    """The reflector's backoff from client-go 0.36 on: back to 0.8 s two minutes after it last was, even if always busy.

    Source: k8s.io/apimachinery v0.37.2, pkg/util/wait/backoff.go (DelayWithReset, backoffManager.Step).
    """

    __slots__ = ("_backoff", "_reset_at", "_stream")

    def __init__(self, now: Nanoseconds, stream: Uniforms):
        self._stream, self._reset_at = stream, now
        self._backoff = self._fresh()

    def next(self, now: Nanoseconds) -> Nanoseconds:
        """How long to wait from `now`, nanoseconds."""
        if now - self._reset_at > 2 * MINUTE:
            self._backoff, self._reset_at = self._fresh(), now
        return self._backoff.step(self._stream)

    @staticmethod
    def _fresh() -> Backoff:
        return Backoff(800 * MILLISECOND, 2.0, 1.0, 38, 30 * SECOND)


_BackoffManager = ExponentialBackoffManager | _DelayWithReset
