"""A running informer: its reflector's requests, its stream, its timers, and handlers that take time.

    reflector: list, watch, sleep ... -> shared informer: FIFO, store -> listeners -> (handler's time) -> whoever asked

It lives once: a process that starts anew makes a new one. What the connection brings is in store and listeners at once; what a
handler needs time for waits in its queue, and reaches `receive` when the handler is through with it.

Sources: client-go tools/cache/reflector.go, shared_informer.go (WaitForCacheSync).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Any, Final, cast

from sim.apiserver.flowcontrol.work import ONE_SEAT
from sim.apiserver.objects import ApiObject, EventType, Labels
from sim.clientgo.backoff import Uniforms
from sim.clientgo.handlers import HandlerQueue, Listener, Notification
from sim.clientgo.informer import SharedInformer
from sim.clientgo.malformed import Malformer
from sim.clientgo.reflector import List, ListWatchError, OpenWatch, Reflector, ReflectorSettings, Sleep
from sim.clientgo.store import Store
from sim.etcd.request import Outcome, Shape
from sim.processes.events import Alarm, Call, Clock
from sim.processes.reflector import Bookmark, End, Happened, ListRequest, Stream, Told
from sim.processes.rest_client import RestClient
from sim.processes.watch import WatchHub
from sim.processes.work_queue import Wake
from sim.units import MILLISECOND, Nanoseconds

SYNC_POLL: Final[Nanoseconds] = 100 * MILLISECOND
"""WaitForCacheSync looks at once, and then each 100 ms (shared_informer.go syncedPollPeriod)."""
_ERRORS: Final = {
    Outcome.UNREACHABLE: ListWatchError.CONNECTION_REFUSED,
    Outcome.THROTTLED: ListWatchError.TOO_MANY_REQUESTS,
}


class Informer:
    """One resource, those objects that a selector matches, as one process keeps them.

    client: whose limiter its requests pass; hub: the API server it is connected to; writer: for whom the requests count. settings:
    of the client-go release; stream: the reflector's draws. event_cost: time for which each event occupies its connection,
    nanoseconds, None for the server's time per object. malformer: what takes names from objects on their way, None: nothing does.

    lists: how often it has listed (or streamed) everything; relists: all but the first.
    """

    def __init__(
        self, env: Clock, client: RestClient, hub: WatchHub, writer: int, resource: str, shape: Shape, selector: Labels,
        mechanism: SharedInformer, settings: ReflectorSettings, stream: Uniforms, event_cost: Nanoseconds | None = None,
        malformer: Malformer | None = None,
    ):  # fmt: skip
        self._env, self._client, self._hub, self._shape, self._selector = env, client, hub, shape, selector
        self._writer, self._settings, self._stream = writer, settings, stream
        self._event_cost = hub.server.per_object if event_cost is None else event_cost
        self._cacher = hub.cacher(resource)
        self.mechanism, self.malformer = mechanism, malformer
        self.lists = 0
        self._started = self._stopped = False
        self._reflector: Reflector
        self._connection: Stream | None = None
        self._ended = Wake(env)
        self._resync = Alarm(env, self._resync_fires)
        self._waiting: list[tuple[Nanoseconds, Wake]] = []

    @property
    def relists(self) -> int:
        """Lists after the first."""
        return max(0, self.lists - 1)

    @property
    def store(self) -> Store:
        """What it knows."""
        return self.mechanism.store

    @property
    def synced(self) -> bool:
        """Whether the first list is in the store."""
        return self.mechanism.has_synced

    # ---- who listens

    def add_handler(
        self, receive: Callable[[Notification], None], cost: Callable[[], Nanoseconds] | None = None,
        resync: Nanoseconds | None = None,
    ) -> Listener:  # fmt: skip
        """Tell `receive` of every change. cost: draws the handler's time for one, nanoseconds, None: none; resync: its period,
        nanoseconds, 0 for never, None for the informer's."""
        if cost is None:
            return self.mechanism.add_listener(self._env._now, receive, resync)
        slow = _SlowHandler(self._env, receive, cost, lambda: self._stopped)
        listener = self.mechanism.add_listener(self._env._now, slow.receive, resync)
        listener.queue = slow.queue
        return listener

    def wait_for_sync(self) -> Generator[Any, Any, None]:
        """Go on when a poll finds it synced: at once, or at the first of every 100 ms from now after that."""
        if not self.synced:
            wake = Wake(self._env)
            self._waiting.append((self._env._now, wake))
            yield wake.sleep()

    def _release(self, now: Nanoseconds) -> None:
        for since, wake in self._waiting:
            self._env.schedule(wake, delay=(since - now) % SYNC_POLL)
        self._waiting = []

    # ---- life

    def start(self) -> None:
        """List and watch from now on, until `stop`. Asked again, it goes on."""
        if self._started:
            return
        self._started = True
        settings = self._settings.resyncing(self.mechanism.start())
        self._reflector = Reflector(self._env._now, _Sink(self), self._stream, settings)
        self._env.process(self._run())

    def stop(self) -> None:
        """The process ends: the connection is closed, nobody is told anything more."""
        self._stopped = True
        self._waiting = []
        if self._connection is not None:
            self._connection.close()

    def _run(self) -> Generator[Any, Any, None]:
        env, reflector, call = self._env, self._reflector, self._client.call(self._writer)
        while not self._stopped:
            match reflector.next(env._now):
                case List() as wanted:
                    yield from self._list(call, wanted)
                case OpenWatch() as wanted:
                    yield from self._watch(call, wanted)
                case Sleep(until):
                    yield env.timeout(until - env._now)
                case None:
                    yield self._ended.sleep()

    def _list(self, call: Call, wanted: List) -> Generator[Any, Any, None]:
        request = ListRequest(self._cacher, self._selector, wanted, self.lists > 0)
        seats = self._cacher.seats(self._shape, wanted.limit, self._selector, request.consistent)
        yield self._client.read(call, self._shape, request.serve, seats)
        if self._stopped:
            return
        self._client.received(call)
        now, error = self._env._now, request.error or _error(call)
        if error is None:
            self._reflector.listed(now, request.revision, request.objects, request.continues)
            self._rearm(now)
        else:
            self._reflector.list_failed(now, error)

    def _watch(self, call: Call, wanted: OpenWatch) -> Generator[Any, Any, None]:
        """Open a watch; from then on the stream tells (`_told`)."""
        stream = Stream(
            self._env, self._cacher, self._hub.told, self._selector, wanted, self._hub.server.to_client, self._event_cost,
            self._told, self.lists > 0,
        )  # fmt: skip
        self._connection = stream
        initial = wanted.send_initial_events
        seats = self._cacher.seats(self._shape, 0, self._selector, initial) if initial else ONE_SEAT
        yield self._client.read(call, self._shape, stream.serve, seats, limited=False)
        if self._stopped:
            stream.close()
            return
        self._client.received(call)
        now, error = self._env._now, _error(call)
        if error is not None:
            self._reflector.watch_failed(now, error)
            return
        self._reflector.watch_opened(now)
        stream.flow()

    def _told(self, what: Told) -> None:
        """The stream brings an event, a bookmark, or its end."""
        now, reflector = self._env._now, self._reflector
        if isinstance(what, Happened):
            reflector.event(now, what.kind, what.object, what.revision)
        elif isinstance(what, Bookmark):
            reflector.bookmark(now, what.revision, what.initial_events_end)
            if what.initial_events_end:
                self._rearm(now)
        else:
            self._over(now, what)

    def _over(self, now: Nanoseconds, end: End) -> None:
        if end.error is None:
            self._reflector.watch_closed(now)
        else:
            self._reflector.watch_failed(now, end.error)
        self._ended.resume()

    def listed(self) -> None:
        """A list has gone into the store."""
        self.lists += 1
        if self._waiting and self.synced:
            self._release(self._env._now)

    # ---- the resync timer

    def _rearm(self, now: Nanoseconds) -> None:
        due = self._reflector.next_resync
        if due is not None and not self._resync.armed:  # when armed it rings earlier, and looks again
            self._resync.arm(due - now)

    def _resync_fires(self, _alarm: Alarm) -> None:
        now, due = self._env._now, self._reflector.next_resync
        if self._stopped or due is None:
            return
        if due <= now:
            if self.mechanism.resync_due(now):
                self.mechanism.resync()
            self._reflector.resync_fired(now)
        self._rearm(now)


class _Sink:
    """Where the reflector puts what it hears; the informer is told of lists."""

    __slots__ = ("_informer", "event")

    def __init__(self, informer: Informer):
        self._informer = informer
        self.event: Callable[[EventType, object], None] = informer.mechanism.event
        if informer.malformer is not None:
            self.event = self._malformed

    def _malformed(self, kind: EventType, item: object) -> None:
        """A watch event whose object may have lost its name on the way."""
        malformer = self._informer.malformer
        assert malformer is not None
        self._informer.mechanism.event(kind, malformer.event(kind, cast(ApiObject, item)))

    def list(self, objects: Iterable[object]) -> None:
        """Everything there is."""
        informer = self._informer
        if informer.malformer is not None:
            objects = informer.malformer.list(cast(Iterable[ApiObject], objects))
        informer.mechanism.list(objects)
        informer.listed()


class _SlowHandler:
    """A handler that takes time for each notification. One alarm for all that wait."""

    def __init__(
        self, env: Clock, receive: Callable[[Notification], None], cost: Callable[[], Nanoseconds], stopped: Callable[[], bool]
    ):
        self._env, self._receive, self._cost, self._stopped = env, receive, cost, stopped
        self.queue = HandlerQueue()
        self._waiting: deque[tuple[Nanoseconds, Notification]] = deque()
        self._alarm = Alarm(env, self._ring)

    def receive(self, notification: Notification) -> None:
        """The informer hands a notification over."""
        now = self._env._now
        done = self.queue.offer(now, self._cost())
        if done <= now:
            self._receive(notification)
            return
        self._waiting.append((done, notification))
        if not self._alarm.armed:
            self._alarm.arm(done - now)

    def _ring(self, alarm: Alarm) -> None:
        now, waiting = self._env._now, self._waiting
        while waiting and waiting[0][0] <= now and not self._stopped():
            self._receive(waiting.popleft()[1])
        if waiting and not alarm.armed and not self._stopped():
            alarm.arm(waiting[0][0] - now)


def _error(call: Call) -> ListWatchError | None:
    """What the reflector makes of the answer."""
    if call.outcome <= Outcome.UNCHANGED:
        return None
    return _ERRORS.get(call.outcome, ListWatchError.OTHER)
