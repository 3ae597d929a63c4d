"""The watch cache of one resource in an API server: objects, history, who watches, and what each of them is sent.

Everything is first come, first served (see `sim.processes.watch`): what is known ahead holds from its own time on.

Source: k8s.io/apiserver v0.35.0, pkg/storage/cacher (cacher.go, watch_cache.go, cache_watcher.go, delegator.go).
"""

from __future__ import annotations

from collections import deque
from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from sim.apiserver.flowcontrol.widths import list_work
from sim.apiserver.flowcontrol.work import ONE_SEAT, Work
from sim.apiserver.objects import ApiObject, EventType, Labels, ObjectKey
from sim.apiserver.watch_dispatch import Dispatcher, WatcherChannels, channel_size
from sim.apiserver.watch_history import (
    BOOKMARK_FREQUENCY,
    PROGRESS_PERIOD,
    BookmarkTimes,
    Expired,
    FreshnessWaiters,
    WatchHistory,
    bookmark_passes,
)
from sim.clientgo.reflector import ListWatchError
from sim.etcd.request import Outcome, Shape
from sim.processes.events import Alarm, Call
from sim.processes.reflector import BEFORE, Bookmark, End, Happened, ListRequest, Stream
from sim.units import SECOND, Nanoseconds

if TYPE_CHECKING:
    from sim.processes.watch import WatchHub

_DELETED: Final = EventType.DELETED
_INDEXED: Final = frozenset({"pod", "secret", "configmap", "node"})
"""Resources that watchers can ask for by an index (k/k pkg/registry/core/*/storage: TriggerFunc): their channels may be longer."""
_LATEST_TICK: Final[Nanoseconds] = SECOND + SECOND // 8
"""A bookmark that is due waits for the next tick; they are 1 to 1.25 s apart."""
_BEFORE_END: Final[Nanoseconds] = 2 * SECOND
"""The last bookmark comes this long before a watch ends (cache_watcher.go nextBookmarkTime)."""
PROGRESS_NOTIFY: Final[Nanoseconds] = 5 * SECOND
"""How often etcd tells a watcher to whom nothing happened how far it is, as kubeadm sets it (k/k pull 111383; etcd: 10 min)."""


class Cacher:
    """The watch cache of one resource: objects, history, and who watches."""

    def __init__(self, hub: WatchHub, resource: str):
        now = hub.env._now
        self._hub, self._env, self.resource = hub, hub.env, resource
        self._history: WatchHistory[Happened] = WatchHistory(hub.window)
        self._objects: dict[ObjectKey, ApiObject] = {}
        self._filled = False
        self._ready_at: Nanoseconds = now
        self._pending: deque[Happened] = deque()  # has not arrived yet, in order
        self._last: Nanoseconds = now  # arrival of the newest
        self.streams: list[Stream] = []
        self._dispatcher: Dispatcher[Stream] = Dispatcher(now)
        self._busy_until: Nanoseconds = now
        self._waiting: FreshnessWaiters[tuple[ListRequest | Stream, Call]] = FreshnessWaiters()
        self._progress = Alarm(hub.env, self._ask_progress)
        self._bookmarks: BookmarkTimes[Stream] = BookmarkTimes(now, hub.jitter)
        self._due: list[Nanoseconds] = []
        self._tick = Alarm(hub.env, self._ring)
        self._ticks_at: Nanoseconds = 0

    def __len__(self) -> int:
        """Objects in the cache."""
        return len(self._objects)

    # ---- what arrives

    def fill(self) -> None:
        """The cache starts with what is there: at the first use, so that whatever was there before the start is in it."""
        if self._filled:
            return
        self._filled = True
        hub = self._hub
        self._ready_at = hub.arrived
        newest = max(1, hub.newest)
        for key, version in hub.versions(self.resource):
            self._objects[key] = ApiObject(key.namespace, key.name, key.labels, version.revision, version.content)
            newest = max(newest, version.revision)
        self._history.replaced(newest)

    def happens(self, item: Happened) -> None:
        """An event is on its way."""
        self.advance(self._env._now)
        self._pending.append(item)
        self._last = item.arrives
        if self.streams:
            self._dispatch(item, self.streams)
        if len(self._waiting):
            for read, call in self._waiting.reached(item.revision):
                call.go(item.arrives, partial(self._answer, read))

    def advance(self, now: Nanoseconds) -> None:
        """Take in what has arrived."""
        pending = self._pending
        while pending and pending[0].arrives <= now:
            item = pending.popleft()
            self._history.add(item.arrives, item.revision, item)
            self._take(item)

    def _take(self, item: Happened) -> None:
        if item.kind is _DELETED:
            self._objects.pop(item.key, None)
        else:
            self._objects[item.key] = item.object

    # ---- to the streams

    def _dispatch(self, item: Happened, streams: list[Stream]) -> None:
        """Hand an event to streams, at its arrival. Where all have room nobody waits for anybody."""
        at, labels = item.arrives, item.key.labels
        if at < self._busy_until:
            self._dispatch_slowly(item, streams)
            return
        for stream in streams:
            if stream.channels.room_at(at) > at:
                self._dispatch_slowly(item, streams)
                return
        for stream in streams:
            delivered = stream.channels.admit(at, stream.cost if stream.selector <= labels else None)
            if delivered is not None:
                stream.send(delivered, item)

    def _dispatch_slowly(self, item: Happened, streams: list[Stream]) -> None:
        labels = item.key.labels
        offers = [(stream, stream.channels, stream.cost if stream.selector <= labels else None) for stream in streams]
        done = self._dispatcher.dispatch(item.arrives, offers)
        self._busy_until = done.done
        for stream, at in done.deliveries.items():
            stream.send(at, item)
        for stream, closed in done.closed.items():
            self.leave(stream)
            stream.lose(closed, End("slow"))

    def leave(self, stream: Stream) -> None:
        """A stream is served no more."""
        stream.open = False
        self.streams = [other for other in self.streams if other is not stream]
        self._bookmarks.unregister(stream)

    # ---- requests

    def serve(self, read: ListRequest | Stream, call: Call) -> None:
        """A handler is at a list or a watch: answer it, once the cache knows what it asks for."""
        hub, now = self._hub, self._env._now
        self.fill()
        if self._refused(call):
            return
        if now < self._ready_at:
            call.go(self._ready_at, read.serve)
            return
        self.advance(now)
        if read.consistent:
            hub.server.reads += 1
            to_etcd = hub.server.to_etcd
            walked, returned = self._asked(read)
            hub.fetch(
                now + to_etcd, call.writer, walked, returned,
                lambda _begun, ended: call.go(ended + to_etcd, partial(self._caught_up, read)),
            )  # fmt: skip
        elif read.required > self._history.revision and self._must_be_fresh(read):
            self._waiting.wait(now, read.required, (read, call))
            if not self._progress.armed:
                self._progress.arm(PROGRESS_PERIOD)
        else:
            self._answer(read, call)

    def _asked(self, read: ListRequest | Stream) -> tuple[int, int]:
        """Keys that etcd walks and returns: of a page all that is left and the page, else one that is not there."""
        limit = read.wanted.limit if isinstance(read, ListRequest) else 0
        if not limit:
            return 1, 0
        token = read.wanted.continue_token  # type: ignore[union-attr]
        left = len(self._objects) if token is None else len(token[1])  # type: ignore[index]
        return left, min(limit, left)

    @staticmethod
    def _must_be_fresh(read: ListRequest | Stream) -> bool:
        """A list, and a stream of all there is; a plain watch just waits for what comes after its version."""
        return isinstance(read, ListRequest) or read.wanted.send_initial_events

    def _refused(self, call: Call) -> bool:
        """What is being served when the server goes down finds nobody any more."""
        hub, now = self._hub, self._env._now
        if not hub.server.down(now):
            return False
        hub.respond(call, now, Outcome.UNREACHABLE)
        return True

    def _caught_up(self, read: ListRequest | Stream, call: Call) -> None:
        """etcd has said how far it is: the cache answers when what was done by now has arrived."""
        now = arrives = self._env._now
        for item in self._pending:
            if item.done > now:
                break
            arrives = item.arrives
        if arrives > now:
            call.go(arrives, partial(self._answer, read))
        else:
            self._answer(read, call)

    def _ask_progress(self, alarm: Alarm) -> None:
        """Somebody waits for a revision: etcd tells how far it is (from Kubernetes 1.31 on); who waits too long is told so."""
        now, hub, waiting = self._env._now, self._hub, self._waiting
        self.advance(now)
        self._progressed()
        for read, call in waiting.reached(self._history.revision):
            self._answer(read, call)
        for read, call in waiting.timed_out(now):
            if isinstance(read, ListRequest):
                read.error = ListWatchError.TOO_LARGE_RESOURCE_VERSION
                hub.respond(call, now, Outcome.TIMEOUT)
            else:
                self._fail(read, call, End("too large", ListWatchError.TOO_LARGE_RESOURCE_VERSION))
        if len(waiting):
            alarm.arm(PROGRESS_PERIOD)

    def _progressed(self) -> None:
        """The cache learns how far etcd is: up to the next event of this resource, which is on its way."""
        pending = self._pending
        revision = pending[0].revision - 1 if pending else self._hub.revision()
        if revision > self._history.revision:
            self._history.progressed(revision)

    def _answer(self, read: ListRequest | Stream, call: Call) -> None:
        now = self._env._now
        if self._refused(call):
            return
        self.advance(now)
        if read.consistent:
            self._progressed()
        if isinstance(read, ListRequest):
            self._list(read, call)
        else:
            self._open(read, call)

    # ---- lists

    def _list(self, request: ListRequest, call: Call) -> None:
        hub, wanted = self._hub, request.wanted
        hub.lists += 1
        hub.relists += request.again
        if wanted.continue_token is None:
            revision, found = self._history.revision, self._matching(request.selector)
        else:
            revision, found = wanted.continue_token  # type: ignore[misc]
        request.revision, request.objects = revision, found
        if wanted.limit and request.consistent and len(found) > wanted.limit:  # at version 0 the cache answers, whole
            request.objects, request.continues = found[: wanted.limit], (revision, found[wanted.limit :])
        took = hub.server.per_object * len(request.objects)
        hub.respond(call, self._env._now + took, Outcome.UNCHANGED)

    def _matching(self, selector: Labels) -> list[ApiObject]:
        """What matches, by key."""
        found = [item for item in self._objects.values() if selector <= item.labels]
        found.sort(key=lambda item: (item.namespace, item.name))
        return found

    def seats(self, shape: Shape, limit: int, selector: Labels, consistent: bool) -> Work:
        """The seats that a list takes at priority and fairness."""
        self.fill()
        if not self._objects:
            return ONE_SEAT
        paged = consistent and limit > 0
        return list_work(
            len(self._objects), shape.value_bytes, limit=limit if paged else 0, from_cache=not paged, selector=bool(selector)
        )

    # ---- watches

    def _open(self, stream: Stream, call: Call) -> None:
        hub, now = self._hub, self._env._now
        version = stream.resource_version
        initial = stream.wanted.send_initial_events
        told: list[Happened]
        if initial or not version:
            stream.started_at = self._history.revision
            told = [
                Happened(EventType.ADDED, key, item, item.resource_version, BEFORE, now)
                for key, item in self._objects.items() if stream.selector <= item.labels
            ]  # fmt: skip
        else:
            since = self._history.events_since(version)
            if isinstance(since, Expired):
                hub.expired += 1
                self._fail(stream, call, End("expired", ListWatchError.EXPIRED))
                return
            stream.started_at = version
            told = [item for item in since if stream.selector <= item.key.labels]
        hub.opened += 1
        if initial:
            hub.lists += 1
            hub.relists += stream.again
        hub.respond(call, now, Outcome.UNCHANGED)
        self._begin(stream, told, initial)

    def _begin(self, stream: Stream, told: list[Happened], initial: bool) -> None:
        """Send what there is already, then deal the stream in."""
        hub, now, cost = self._hub, self._env._now, stream.cost
        stream.channels = WatcherChannels(channel_size(self._history.capacity, hub.window, self.resource in _INDEXED))
        all_sent = stream.channels.prime(now, len(told) + initial, cost)
        for ordinal, item in enumerate(told, 1):
            stream.send(all_sent if initial else now + ordinal * cost, item)  # nobody looks into a stream before it is complete
        if initial:
            stream.send(all_sent, Bookmark(self._history.revision, True))
        stream.open = True
        stream.deadline = now + stream.lasts
        self.streams = [*self.streams, stream]
        self._bookmarks.register(now, stream, stream.deadline)
        self._await_bookmark(now, stream)
        Alarm(self._env, lambda _: self._timed_out(stream)).arm(stream.lasts)
        for item in self._pending:
            if item.revision > stream.started_at and stream.open:
                self._dispatch(item, [stream])

    def _fail(self, stream: Stream, call: Call, end: End) -> None:
        """A watch that cannot be served is opened, and ends with an error event."""
        now = self._env._now
        self._hub.opened += 1
        self._hub.respond(call, now, Outcome.UNCHANGED)
        stream.send(now, end)

    def _timed_out(self, stream: Stream) -> None:
        if stream.open:
            self.leave(stream)
            stream.cut(self._env._now, End("timeout"))

    # ---- bookmarks

    def _await_bookmark(self, now: Nanoseconds, stream: Stream) -> None:
        due = min(now + BOOKMARK_FREQUENCY, stream.deadline - _BEFORE_END)
        if due < now:
            return
        heappush(self._due, due + int(self._hub.jitter() * _LATEST_TICK))
        self._rearm(now)

    def _rearm(self, now: Nanoseconds) -> None:
        due = self._due
        if due and (not self._tick.armed or due[0] < self._ticks_at):
            if self._tick.armed:  # for later: that one will ring for nothing
                self._tick = Alarm(self._env, self._ring)
            self._ticks_at = max(now, due[0])
            self._tick.arm(self._ticks_at - now)

    def _ring(self, alarm: Alarm) -> None:
        if alarm is not self._tick:
            return
        now, due = self._env._now, self._due
        while due and due[0] <= now:
            heappop(due)
        self.advance(now)
        if now - self._last >= PROGRESS_NOTIFY:
            self._progressed()
        streams = [stream for stream in self._bookmarks.tick(now) if stream.open]
        for stream in streams:
            self._await_bookmark(now, stream)
        self._send_bookmarks(now, streams)
        self._rearm(now)

    def _send_bookmarks(self, now: Nanoseconds, streams: list[Stream]) -> None:
        """Behind everything that has been dispatched already, arrived or not."""
        pending = self._pending
        revision = pending[-1].revision if pending else self._history.revision
        at = max(now, pending[-1].arrives) if pending else now
        offers = [
            (stream, stream.channels, stream.cost)
            for stream in streams if bookmark_passes(stream.started_at, revision, False)
        ]  # fmt: skip
        for stream, delivered in self._dispatcher.bookmark(at, offers).items():
            stream.send(delivered, Bookmark(revision))

    # ---- outages

    def down(self, now: Nanoseconds) -> None:
        """Nobody listens any more: connections end, whoever waits for an answer hears that."""
        for stream in self.streams:
            stream.open = False
            self._bookmarks.unregister(stream)
            stream.cut(now, End("outage"))
        self.streams = []
        for _, call in self._waiting.reached(1 << 62):
            self._hub.respond(call, now, Outcome.UNREACHABLE)

    def restart(self, now: Nanoseconds) -> None:
        """The server is back: the cache starts from a list of etcd, and remembers nothing before it."""
        self.fill()
        self.advance(now)
        pending, newest = self._pending, max(self._history.revision, self._hub.newest, self._hub.revision())
        if pending:
            self._ready_at = pending[-1].done
        for item in pending:
            self._take(item)
        pending.clear()
        self._history.replaced(newest)
