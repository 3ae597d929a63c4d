"""An API server without its request path, before an etcd that is a clock and a counter: what the watch needs of a world."""

from __future__ import annotations

from collections.abc import Callable

from sim.apiserver.objects import ApiObject, Content, EventType, Labels, ObjectKey, Version
from sim.apiserver.server import ApiServer
from sim.apiserver.watch_history import EVENT_WINDOW
from sim.clientgo.informer import SharedInformer
from sim.clientgo.reflector import List, OpenWatch, ReflectorSettings
from sim.etcd.request import Outcome, Shape
from sim.processes.events import Alarm, Call, Clock
from sim.processes.informer import Informer
from sim.processes.reads import Told as Answer
from sim.processes.reflector import Bookmark, End, Happened, ListRequest, Stream, Told
from sim.processes.watch import WatchHub
from sim.streams import Stream as Uniforms
from sim.units import MICROSECOND, MILLISECOND, Nanoseconds

APP: Labels = frozenset({("app", "web")})
OTHER: Labels = frozenset({("app", "db")})
TO_CLIENT = 250 * MICROSECOND
TO_ETCD = 100 * MICROSECOND
PER_OBJECT = 5 * MICROSECOND
POD = Shape("pod", 50, 1000)


def pod(name: str, labels: Labels = APP, resource: str = "pod") -> ObjectKey:
    return ObjectKey(resource, "default", name, labels)


class World:
    """lag: from etcd's watch to the cache; apply: from a write to its end at etcd; read: a linearizable read's time there."""

    def __init__(
        self, outages: list[tuple[Nanoseconds, Nanoseconds]] | None = None,
        lag: Callable[[], Nanoseconds] = lambda: 2 * MILLISECOND, apply: Callable[[], Nanoseconds] = lambda: MILLISECOND,
        read: Nanoseconds = 2 * MILLISECOND, window: Nanoseconds = EVENT_WINDOW,
    ):  # fmt: skip
        self.env = Clock()
        self.server = ApiServer(TO_CLIENT, TO_ETCD, lambda: MILLISECOND, None, per_object=PER_OBJECT, outages=outages or [])
        self._apply, self._read = apply, read
        self.revision = 1
        self.done: dict[int, Nanoseconds] = {}
        self.last: Nanoseconds = 0
        self.objects: dict[ObjectKey, int] = {}
        """The truth, as soon as everything is done."""
        jitter = Uniforms(1, "bookmarks", 8).uniform
        self.hub = WatchHub(self.env, self.server, lag, self._fetch, jitter, window, lambda: self.revision)
        self.hub.attach(self._respond)
        self.requests = 0
        self.fetched: list[tuple[int, int]] = []
        """Keys walked and returned, of each read from etcd."""

    # ---- etcd

    def _fetch(self, at: Nanoseconds, _writer: int, walked: int, returned: int, then: Answer) -> None:
        self.fetched.append((walked, returned))
        then(at, max(at + self._read, self.last))

    def preload(self, key: ObjectKey) -> None:
        self.revision += 1
        self.objects[key] = self.revision
        self.server.cache.learn(key, Version(self.revision), 0)

    def put(self, key: ObjectKey, content: Content | None = None) -> int:
        return self._happens(EventType.MODIFIED if key in self.objects else EventType.ADDED, key, content)

    def put_once(self) -> None:
        """A key that the hub is not told of."""
        self.revision += 1

    def delete(self, key: ObjectKey) -> int:
        return self._happens(EventType.DELETED, key) if key in self.objects else 0

    def _happens(self, kind: EventType, key: ObjectKey, content: Content | None = None) -> int:
        self.revision += 1
        self.last = max(self.env.now + self._apply(), self.last + 1)
        self.done[self.revision] = self.last
        if kind is EventType.DELETED:
            del self.objects[key]
        else:
            self.objects[key] = self.revision
        self.hub.happened(kind, key, self.revision, content, self.last)
        return self.revision

    def at(self, when: Nanoseconds, do: Callable[[], object]) -> None:
        Alarm(self.env, lambda _: do()).arm(when - self.env.now)

    def run(self, until: Nanoseconds) -> World:
        self.env.advance(until)
        return self

    # ---- the request path

    def call(self, writer: int = 0) -> Call:
        return Call(self.env, lambda _: None, writer)

    def read(
        self, call: Call, shape: Shape, serve: Callable[[Call], None], work: object = None, limited: bool = True
    ) -> Call:
        self.requests += 1
        now = self.env.now
        call.callbacks, call.since = [], now
        if self.server.down(now + TO_CLIENT):
            call.outcome = Outcome.UNREACHABLE
            call.finish(now + 2 * TO_CLIENT)
        else:
            call.go(now + TO_CLIENT + self.server.overhead(), serve)
        return call

    def received(self, call: Call) -> None:
        pass

    def _respond(self, call: Call, at: Nanoseconds, outcome: Outcome) -> None:
        assert at >= self.env.now
        call.outcome = outcome
        call.finish(at + TO_CLIENT)

    # ---- clients

    def list(self, wanted: List, selector: Labels = frozenset(), resource: str = "pod") -> tuple[ListRequest, Call]:
        request, call = ListRequest(self.hub.cacher(resource), selector, wanted), self.call()
        self.read(call, POD, request.serve)
        return request, call

    def watch(
        self, version: int | None, selector: Labels = frozenset(), seconds: int = 400, initial: bool = False,
        cost: Nanoseconds = PER_OBJECT, resource: str = "pod",
    ) -> Connection:  # fmt: skip
        wanted = OpenWatch(version, seconds, send_initial_events=initial)
        return Connection(self, selector, wanted, cost, resource)

    def informer(
        self, settings: ReflectorSettings, selector: Labels = frozenset(), resync: Nanoseconds = 0, cost: Nanoseconds | None = None,
        name: str = "informer", fifo: str = "real",
    ) -> Informer:  # fmt: skip
        return Informer(
            self.env, self, self.hub, 0, "pod", POD, selector, SharedInformer(fifo, resync), settings,  # type: ignore[arg-type]
            Uniforms(3, name, 8), cost,
        )  # fmt: skip


class Connection:
    """A client that opens one watch and writes down what it is told."""

    def __init__(self, world: World, selector: Labels, wanted: OpenWatch, cost: Nanoseconds, resource: str):
        self.world, self.told = world, list[tuple[Nanoseconds, Told]]()
        self.stream = Stream(
            world.env, world.hub.cacher(resource), world.hub.told, selector, wanted, TO_CLIENT, cost,
            lambda what: self.told.append((world.env.now, what)),
        )  # fmt: skip
        self.call = world.call()
        world.read(self.call, POD, self.stream.serve)
        assert self.call.callbacks is not None
        self.call.callbacks.append(lambda _: self.stream.flow())

    @property
    def events(self) -> list[Happened]:
        return [what for _, what in self.told if isinstance(what, Happened)]

    @property
    def revisions(self) -> list[int]:
        return [event.revision for event in self.events]

    @property
    def bookmarks(self) -> list[tuple[Nanoseconds, Bookmark]]:
        return [(at, what) for at, what in self.told if isinstance(what, Bookmark)]

    @property
    def end(self) -> End | None:
        ends = [what for _, what in self.told if isinstance(what, End)]
        assert len(ends) <= 1
        return ends[0] if ends else None


def expected(world: World, selector: Labels = frozenset()) -> dict[str, int]:
    """Names and revisions of the objects that there are."""
    return {key.name: revision for key, revision in world.objects.items() if selector <= key.labels}


def stored(informer: Informer) -> dict[str, int]:
    """The same as an informer knows it."""
    objects = [item for item in informer.store.list_objects() if isinstance(item, ApiObject)]
    return {item.name: item.resource_version for item in objects}
