"""What controllers under study do in a reconcile: look into their map, write to the object, take care of its finalizer.

Sources: controller-runtime pkg/client (the cached client reads from the informer's store); the map with zero values is the source
article's.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any

from sim.apiserver.objects import ApiObject, Content, ObjectKey
from sim.apiserver.storage import Verb, Write, add_finalizer, remove_finalizer, set_field
from sim.clientgo.backoff import Uniforms
from sim.clientgo.retry import OnError, Settings
from sim.controllers.cache import ABSENT, ZERO, ObjectMap
from sim.etcd.request import CONFLICT, Outcome, Shape
from sim.journal import Samples
from sim.processes.controller import DONE, FAILED, REQUEUE_AFTER, Result
from sim.processes.events import Call, Clock
from sim.processes.rest_client import RestClient
from sim.units import SECOND, Nanoseconds

Steps = Generator[Any, Any, Result]


class CacheReconciler:
    """Bring the controller's map in line with the informer; a zero value makes it create an object.

    exists: whether the informer has an object. work: draws the CPU time of a pass, nanoseconds. again: whether an entry is looked
    at again. creates: what a zero value makes it create under a fresh name, None: nothing; ttl: the life of that, 0 without end.
    """

    def __init__(
        self, env: Clock, client: RestClient, writer: int, exists: Callable[[Hashable], bool], cache: ObjectMap,
        work: Callable[[], Nanoseconds], again: bool, creates: Shape | None, ttl: Nanoseconds = 0,
    ):  # fmt: skip
        self._env, self._client, self._writer, self._exists = env, client, writer, exists
        self._cache, self._work, self._creates, self._ttl = cache, work, creates, ttl
        self._seen = REQUEUE_AFTER if again else DONE

    def call(self) -> Call:
        """A call for one worker."""
        return self._client.call(self._writer)

    def reconcile(self, call: Call, key: Hashable) -> Steps:
        """One pass over the entry of `key`."""
        found = self._cache.look(key, self._exists(key))
        if found is ZERO and self._creates is not None:
            if self._ttl:
                yield self._env.timeout(self._work())
                yield self._client.create(call, self._creates, None, ttl=self._ttl)
            else:
                yield self._client.create_once(call, self._creates, self._work())
            self._client.received(call)
            return FAILED if call.outcome >= CONFLICT else self._seen
        yield self._env.timeout(self._work())
        return DONE if found is ABSENT else self._seen


@dataclass(frozen=True, slots=True)
class Fates:
    """How reconciles end by chance: shares that add up to at most 1; poisoned: share of the keys that always fail."""

    errors: float = 0.0
    terminal_errors: float = 0.0
    requeues: float = 0.0
    panics: float = 0.0
    poisoned: float = 0.0

    def of(self, key: Hashable, drawn: float) -> Result | None:
        """How a run of `key` ends, for a number drawn from [0, 1); None: as its writes do."""
        if self.poisoned and zlib.crc32(str(key).encode()) < self.poisoned * 2**32:
            return FAILED
        for share, result in (
            (self.errors, FAILED), (self.terminal_errors, Result.TERMINAL), (self.requeues, Result.REQUEUE),
            (self.panics, Result.PANIC),
        ):  # fmt: skip
            if drawn < share:
                return result
            drawn -= share
        return None


@dataclass(slots=True)
class Undone:
    """Whether the last attempt of a write undid what another had written since the copy was read."""

    anything: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """A declared write: its verb, the field that it sets to what, and how it is tried again after a conflict."""

    verb: Verb
    sets: str
    field: str
    manager: str
    retry: Settings | None
    force: bool = True

    @property
    def locked(self) -> bool:
        """Whether it carries the resource version of the writer's copy."""
        return self.verb in (Verb.UPDATE, Verb.PATCH_LOCKED)

    def value(self, copy: Content, now: Nanoseconds) -> Hashable:
        """What it writes, by the writer's copy of the object. now: nanoseconds; the API's timestamps are whole seconds."""
        match self.sets:
            case "counter":
                before = copy.value(self.field)
                return before + 1 if isinstance(before, int) else 1
            case "timestamp":
                return now // SECOND
            case "generation":
                return copy.generation
            case _:
                return "constant"

    def request(self, copy: ApiObject, now: Nanoseconds, undone: Undone) -> Write:
        """The write of one attempt; it notes in `undone` whether it undoes what another has written since the copy was read.

        Who writes what already stands there undoes nothing; but of two who each add one to the same number, one has added nothing.
        """
        content = copy.content or Content()
        value, read = self.value(content, now), content.value(self.field)
        change, counts = set_field(self.field, value, self.manager), self.sets == "counter"

        def changed(found: Content) -> Content:
            stands = found.value(self.field)
            another = found.manager(self.field) != self.manager
            undone.anything = another and stands != read and (counts or stands != value)
            return change(found)

        version = copy.resource_version if self.locked else None
        return Write(self.verb, changed, version, self.manager, self.field, self.force)


@dataclass(slots=True)
class WriteTally:
    """Writes as their authors see them: requests, successes, 409s, given up after the last retry, updates of others undone.

    transactions: what they were to etcd. seconds: from the first read of a write to its success, retries included.
    """

    requests: int = 0
    succeeded: int = 0
    unchanged: int = 0
    changed: int = 0
    conflicts: int = 0
    given_up: int = 0
    lost_updates: int = 0
    transactions: int = 0
    seconds: Samples = dataclass_field(default_factory=Samples)

    @property
    def failed(self) -> int:
        """Attempts that ended otherwise: refused, denied, not answered, the object gone."""
        return self.requests - self.succeeded - self.conflicts


class Writer:
    """Writes objects as declared, with RetryOnConflict where it is asked for."""

    def __init__(self, env: Clock, client: RestClient, shape: Shape, tally: WriteTally, jitter: Uniforms):
        self._env, self._client, self._shape, self.tally, self._jitter = env, client, shape, tally, jitter

    def write(
        self, call: Call, key: ObjectKey, written: Written, read: Callable[[Call], Generator[Any, Any, ApiObject | None]]
    ) -> Generator[Any, Any, ApiObject | None]:
        """Read the object, change it, write it: the object as it then is, None where that failed. The call has the outcome."""
        tally, since = self.tally, self._env._now
        retry = None if written.retry is None else OnError(written.retry, self._jitter)
        while True:
            copy = yield from read(call)
            if copy is None:
                call.outcome = Outcome.NOT_FOUND
                return None
            tally.requests += 1
            undone = Undone()
            request = written.request(copy, self._env._now, undone)
            yield self._client.write(call, self._shape, key, request)
            self._client.received(call)
            tally.transactions += call.transactions
            if call.outcome < CONFLICT:
                tally.succeeded += 1
                tally.seconds.add(self._env._now - since)
                tally.unchanged += call.outcome is Outcome.UNCHANGED
                tally.lost_updates += undone.anything
                tally.changed += not undone.anything and call.outcome is not Outcome.UNCHANGED
                return ApiObject(key.namespace, key.name, key.labels, call.revision, call.content)
            if call.outcome is not CONFLICT:
                return None
            tally.conflicts += 1
            again = None if retry is None else retry.failed()
            if again is None or not again.again:
                tally.given_up += retry is not None
                return None
            yield self._env.timeout(again.delay)


class ObjectReconciler:
    """Writes to the object of its key, puts a finalizer on it and takes it off, ends as chance has it, records Events.

    find: the object in the informer's store. record: records the Events of one run, None: none. seen: tells the map of the
    controller that its object exists or not. down: whether all that it does fails now, None: never.
    """

    def __init__(
        self, env: Clock, client: RestClient, writer_number: int, shape: Shape, resource: str,
        find: Callable[[Hashable], ApiObject | None], work: Callable[[], Nanoseconds], again: bool, writes: Sequence[Written],
        finalizer: bool, fates: Fates, chance: Callable[[], float], writer: Writer, record: Callable[[ApiObject], None] | None,
        cache: ObjectMap, down: Callable[[], bool] | None = None,
    ):  # fmt: skip
        self._down = down
        self._env, self._client, self._number, self._shape, self._resource = env, client, writer_number, shape, resource
        self._find, self._work, self._writes, self._finalizer = find, work, writes, finalizer
        self._fates, self._chance, self._writer, self._record, self._cache = fates, chance, writer, record, cache
        self._seen = REQUEUE_AFTER if again else DONE

    def call(self) -> Call:
        """A call for one worker."""
        return self._client.call(self._number)

    def reconcile(self, call: Call, key: Hashable) -> Steps:
        """One run: read the object from the store, decide, write."""
        item = self._find(key)
        self._cache.look(key, item is not None)
        fate = self._fates.of(key, self._chance())
        yield self._env.timeout(self._work())
        if self._down is not None and self._down():
            return FAILED
        if fate is not None:
            return fate
        if item is None:
            return DONE
        if not item.name and (self._writes or self._finalizer):
            return FAILED  # the client refuses to send it: "resource name may not be empty" (client-go rest/request.go)
        named = ObjectKey(self._resource, item.namespace, item.name, item.labels)
        content = item.content or Content()
        if content.deleting:
            if not (self._finalizer and content.finalizers):
                return DONE
            return (yield from self._send(call, named, Write(Verb.UPDATE, remove_finalizer, item.resource_version), DONE))
        if self._finalizer and not content.finalizers:
            result = yield from self._send(call, named, Write(Verb.UPDATE, add_finalizer, item.resource_version), self._seen)
            if result is FAILED:
                return FAILED
            item = ApiObject(item.namespace, item.name, item.labels, call.revision, call.content)
        for written in self._writes:
            after = yield from self._writer.write(call, named, written, self._reader(key, item))
            if after is None:
                return DONE if call.outcome is Outcome.NOT_FOUND else FAILED
            item = after
        if self._record is not None:
            self._record(item)
        return self._seen

    def _send(self, call: Call, key: ObjectKey, write: Write, result: Result) -> Steps:
        yield self._client.write(call, self._shape, key, write)
        self._client.received(call)
        if call.outcome is Outcome.NOT_FOUND:
            return DONE
        return FAILED if call.outcome >= CONFLICT else result

    def _reader(self, key: Hashable, first: ApiObject) -> Callable[[Call], Generator[Any, Any, ApiObject | None]]:
        """The copy at hand for the first attempt; for the next, whatever the informer's store holds by then."""
        known: list[ApiObject] = [first]

        def read(_call: Call) -> Generator[Any, Any, ApiObject | None]:
            yield from ()
            return known.pop() if known else self._find(key)

        return read
