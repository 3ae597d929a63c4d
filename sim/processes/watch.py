"""The watch path of one API server: from etcd's watch through a cache for each resource to the streams of its clients.

    entry applied -> (lag) -> cache: objects, history -> dispatcher -> channels of each stream -> (one way) -> client

Everything on this way is first come, first served: when an entry's outcome is known, so is when its event arrives, and what
becomes of it at each open stream. What is known ahead holds from its own time on: an event that has not arrived stands in
`_pending`; lists and history see what has arrived only; who opens a watch meanwhile is dealt in. So a delivered event costs one
alarm, and one that nobody watches costs none.

A resource is followed once somebody asks for it (`cacher`); of all others only the versions are kept.

While the API server is down nobody is connected. When it comes back it lists from etcd, and its history is empty: a watch from
an older revision is told 410, and its client lists anew. So does the real one: its cache starts from a list at etcd's current
revision, whatever it remembered before.

Source: k8s.io/apiserver v0.35.0, pkg/storage/cacher (cacher.go, watch_cache.go, delegator.go).
Simplified: lists from etcd (pages) are answered from a cache that has caught up; pages do not expire. Bookmarks come at their due
time plus up to 1.13 s (really: at ticks, up to 1 s early). etcd's progress is looked at when a bookmark is due. The list with
which a cache starts takes no time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from sim.apiserver.objects import ABSENT, ApiObject, Content, EventType, ObjectKey, Version
from sim.apiserver.server import ApiServer
from sim.apiserver.watch_history import EVENT_WINDOW
from sim.etcd.request import Outcome
from sim.journal import Samples
from sim.processes.cacher import Cacher
from sim.processes.events import Alarm, Call, Clock, Ghost
from sim.processes.reads import Fetch
from sim.processes.reflector import Happened, Sent
from sim.units import Nanoseconds

_KINDS: Final = (EventType.ADDED, EventType.MODIFIED, EventType.DELETED)  # by outcome: CREATED, UPDATED, DELETED
_DELETED: Final = EventType.DELETED

Respond = Callable[[Call, Nanoseconds, Outcome], None]


class WatchHub:
    """All watch caches of one API server, and what its clients have been told of them.

    lag: draws the way from etcd's watch to a cache, nanoseconds. fetch: asks etcd how far it is, and for pages. jitter: draws from
    [0, 1), for bookmarks. window: how far back the history reaches, nanoseconds, at least 75 s. revision: the newest of etcd, with
    whatever has been handed to its applier; None: the newest that the hub was told of.

    Counts lists served (`lists`; `relists`: to informers that had one before), watches `opened`, `expired` (410), and in `told`
    what was sent. `attach` comes before the first request.
    """

    def __init__(
        self, env: Clock, server: ApiServer, lag: Callable[[], Nanoseconds], fetch: Fetch,
        jitter: Callable[[], float], window: Nanoseconds = EVENT_WINDOW, revision: Callable[[], int] | None = None,
    ):  # fmt: skip
        self.env, self.server, self.fetch, self.jitter, self.window = env, server, fetch, jitter, window
        self._lag, self._versions = lag, server.cache
        self._cachers: dict[str, Cacher] = {}
        self.respond: Respond
        self.arrived: Nanoseconds = 0
        """When the newest event arrives; none ever overtakes another."""
        self.newest = 0
        """Its revision."""
        self.revision: Callable[[], int] = revision or (lambda: self.newest)
        self.told = Sent()
        self.lists = self.relists = self.opened = self.expired = 0
        for begins, ends in server.outages:
            Alarm(env, self._down).arm(begins - env._now)
            Alarm(env, self._up).arm(ends - env._now)

    def attach(self, respond: Respond) -> None:
        """The request path through which lists and watches come: `Gateway.respond`."""
        self.respond = respond

    def cacher(self, resource: str) -> Cacher:
        """The cache of a resource, followed from now on."""
        cacher = self._cachers.get(resource)
        if cacher is None:
            cacher = self._cachers[resource] = Cacher(self, resource)
        return cacher

    def matching(self, resource: str) -> int:
        """Watchers of a resource."""
        cacher = self._cachers.get(resource)
        return 0 if cacher is None else len(cacher.streams)

    @property
    def sent(self) -> int:
        """Events that clients have been told."""
        return self.told.sent

    @property
    def lags(self) -> Samples:
        """From etcd to the client, of each of them that happened since its watch began, or that it caught up with."""
        return self.told.lags

    # ---- what happens at etcd

    def applied(self, entry: Call | Ghost) -> None:
        """An entry's outcome and completion are known: its event will arrive after that."""
        if entry.outcome <= Outcome.DELETED and isinstance(entry.key, ObjectKey):
            self.happened(_KINDS[entry.outcome], entry.key, entry.revision, entry.content, entry.done)

    def happened(self, kind: EventType, key: ObjectKey, revision: int, content: Content | None, done: Nanoseconds) -> None:
        """An object changes at etcd, at `done`; each call tells of a later time, and of no smaller revision, than the last."""
        cacher = self._cachers.get(key.resource)
        if cacher is not None:
            cacher.fill()
        arrives = done + self._lag()
        if arrives < self.arrived:
            arrives = self.arrived
        self.arrived = arrives
        versions = self._versions
        if kind is _DELETED:
            content = versions.newest(key).content  # the event carries the object as it was
            versions.learn(key, ABSENT, arrives)
        else:
            versions.learn(key, Version(revision, content), arrives)
        self.newest = revision
        if cacher is not None:
            item = ApiObject(key.namespace, key.name, key.labels, revision, content)
            cacher.happens(Happened(kind, key, item, revision, done, arrives))

    def versions(self, resource: str) -> Iterable[tuple[ObjectKey, Version]]:
        """The newest versions of a resource, those that have not arrived yet included."""
        return self._versions.of(resource, self.arrived)

    # ---- outages

    def _down(self, _alarm: Alarm) -> None:
        for cacher in self._cachers.values():
            cacher.down(self.env._now)

    def _up(self, _alarm: Alarm) -> None:
        for cacher in self._cachers.values():
            cacher.restart(self.env._now)
