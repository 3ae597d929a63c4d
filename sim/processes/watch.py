"""The watch: each write of a named object reaches the API server's cache, and from there the informers that asked for it.

Events of one API server arrive in the order of their revisions. Source: apiserver pkg/storage/cacher. Simplified: watches
never break, never fall behind and need no relist; what nobody watches is counted, not delivered.
"""

from __future__ import annotations

from collections.abc import Callable

from sim.apiserver.objects import ABSENT, EventType, Labels, ObjectKey, Version, WatchEvent
from sim.apiserver.versions import Versions
from sim.etcd.request import Outcome
from sim.journal import Samples
from sim.processes.events import Alarm, Call, Clock, Ghost
from sim.units import Nanoseconds

_TYPES = {Outcome.CREATED: EventType.ADDED, Outcome.UPDATED: EventType.MODIFIED, Outcome.DELETED: EventType.DELETED}


class WatchHub:
    """Carries events from etcd to the watch cache and to subscribers.

    lag: draws the way from etcd's watch to a watcher, nanoseconds; to_client: one way from the API server to its clients.
    """

    def __init__(self, env: Clock, cache: Versions, lag: Callable[[], Nanoseconds], to_client: Nanoseconds):
        self._env, self._cache, self._lag, self._to_client = env, cache, lag, to_client
        self._subscribers: list[tuple[str, Labels, Callable[[WatchEvent], None]]] = []
        self._last: Nanoseconds = 0
        self.sent = 0
        self.lags = Samples()

    def subscribe(self, resource: str, selector: Labels, receive: Callable[[WatchEvent], None]) -> None:
        """Call `receive` for each event of objects of `resource` that carry all labels of `selector`."""
        self._subscribers.append((resource, selector, receive))

    def matching(self, resource: str) -> int:
        """Watchers of a resource: what notifying them adds to each apply."""
        return sum(1 for subscribed, _, _ in self._subscribers if subscribed == resource)

    def applied(self, entry: Call | Ghost) -> None:
        """An entry's outcome and completion are known: its event will arrive after that."""
        kind = _TYPES.get(entry.outcome)
        if kind is None or entry.key is None:
            return
        key = entry.key
        arrives = max(entry.done + self._lag(), self._last)
        self._last = arrives
        if isinstance(key, ObjectKey):
            self._cache.learn(key, ABSENT if kind is EventType.DELETED else Version(entry.revision, entry.content), arrives)
            for resource, selector, receive in self._subscribers:
                if resource == key.resource and selector <= key.labels:
                    event = WatchEvent(kind, key, entry.revision, entry.content)
                    self._deliver(event, entry.done, arrives + self._to_client, receive)

    def _deliver(self, event: WatchEvent, happened: Nanoseconds, at: Nanoseconds, receive: Callable[[WatchEvent], None]) -> None:
        def ring(_alarm: Alarm) -> None:
            self.sent += 1
            self.lags.add(at - happened)
            receive(event)

        Alarm(self._env, ring).arm(at - self._env._now)
