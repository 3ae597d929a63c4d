"""A candidacy for a lease, as its process makes it: the elector says what to do, this does it and brings the answer.

The lease is an object like any other, so a candidate meets everything a request can meet: the seats of its priority level, a
stalled etcd, an API server that is down. A request that has no answer by its deadline is given up; it may be carried out all the
same.

`LeaderForLife` is operator-sdk's other way: an object that belongs to the leader's pod, created once and never renewed. Who finds
its own name in it leads at once (it was restarted); everybody else tries to create it, again and again. It goes with the pod, which
outlives its processes: so here a standby never comes to lead.

Sources: client-go tools/leaderelection, resourcelock/multilock.go; operator-sdk pkg/leader/leader.go (Become).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final

from simpy.events import AnyOf
from simpy.exceptions import Interrupt

from sim.apiserver.objects import Content, ObjectKey
from sim.apiserver.storage import Verb, Write, set_field
from sim.clientgo.backoff import Uniforms
from sim.clientgo.leader_election import (
    Answer,
    Create,
    Done,
    Get,
    LeaderElector,
    LeaseRecord,
    RecordEvent,
    Request,
    Sleep,
    StartedLeading,
    Step,
    StoppedLeading,
    Update,
    Verdict,
)
from sim.etcd.request import CONFLICT, Outcome, Shape
from sim.hardware.disk import NEVER
from sim.processes.events import Call, Clock
from sim.processes.rest_client import RestClient
from sim.units import SECOND, Nanoseconds

RECORD: Final = "record"
"""The field of a lease that holds its record."""
CANCELLED: Final = "cancelled"
"""The cause of an interrupt that asks for an orderly end."""
OWNER: Final = "owner"
"""The field of a lock for life that holds the name of the leader's pod."""
_FIRST_WAIT: Final[Nanoseconds] = SECOND
_LONGEST_WAIT: Final[Nanoseconds] = 16 * SECOND
_JITTER: Final = 0.2
_VERDICTS: Final = {Outcome.NOT_FOUND: Verdict.NOT_FOUND, Outcome.CONFLICT: Verdict.CONFLICT}


class Candidacy:
    """One elector and its requests. keys: the lease, or the objects that are the lock together, each asked for in turn.

    started, stopped: OnStartedLeading and OnStoppedLeading; record: takes the message of an Event about the lease.
    """

    def __init__(
        self, env: Clock, elector: LeaderElector, client: RestClient, writer: int, shape: Shape,
        keys: list[ObjectKey], started: Callable[[], None], stopped: Callable[[], None], record: Callable[[str], None],
    ):  # fmt: skip
        self._env, self._elector, self._client, self._writer = env, elector, client, writer
        self._shape, self._keys, self._started, self._stopped, self._record = shape, keys, started, stopped, record
        self._call = client.call(writer)
        self._versions: dict[ObjectKey, int] = {}

    def run(self) -> Generator[Any, Any, None]:
        """The process: ends when the candidacy does, or when it is interrupted: the process was killed, nothing is released.

        Interrupted with CANCELLED it ends in its own time, and gives the lease up where the elector does so.
        """
        env, elector = self._env, self._elector
        step = elector.start(env._now)
        while not isinstance(step, Done):
            try:
                answer = yield from self._take(step)
            except Interrupt as interrupt:
                if interrupt.cause != CANCELLED:
                    return
                self._call = self._client.call(self._writer)  # the old one may belong to a request that is still under way
                step = elector.cancel(env._now)
            else:
                step = elector.proceed(env._now, answer)

    def _take(self, step: Step) -> Generator[Any, Any, Answer | None]:
        """One step of the elector; the answer where it is a request."""
        if isinstance(step, Request):
            return (yield from self._ask(step))
        if isinstance(step, Sleep):
            yield self._env.timeout(step.until - self._env._now)
        elif isinstance(step, StartedLeading):
            self._started()
        elif isinstance(step, StoppedLeading):
            self._stopped()
        elif isinstance(step, RecordEvent):
            self._record(step.message)
        return None

    def _ask(self, step: Request) -> Generator[Any, Any, Answer]:
        """The answer of all objects of the lock: the last one's, or the first that is no success."""
        answer = Answer(Verdict.TIMEOUT)
        for place, key in enumerate(self._keys):
            if place and isinstance(step, Update):  # only the first one's version is known: MultiLock.Update reads the second
                answer = yield from self._ask_for(key, Get(step.expires))
                if answer.verdict is not Verdict.OK:
                    break
            answer = yield from self._ask_for(key, step)
            if answer.verdict is not Verdict.OK:
                break
        return answer

    def _ask_for(self, key: ObjectKey, step: Request) -> Generator[Any, Any, Answer]:
        env, call = self._env, self._call
        sent = self._send(call, key, step)
        # A deadline is an event until it is over: a client without one leaves none behind.
        yield sent if step.expires >= NEVER else AnyOf(env, [sent, env.timeout(max(0, step.expires - env._now))])
        if not call.processed:
            self._call = self._client.call(self._writer)  # the old one belongs to a request that is still under way
            return Answer(Verdict.TIMEOUT)
        self._client.received(call)
        if call.outcome >= CONFLICT:
            return Answer(_VERDICTS.get(call.outcome, Verdict.ERROR))
        self._versions[key] = call.revision
        record = call.content.value(RECORD) if call.content is not None else None
        return Answer(Verdict.OK, call.revision, record if isinstance(record, LeaseRecord) else None)

    def _send(self, call: Call, key: ObjectKey, step: Request) -> Call:
        match step:
            case Get():
                return self._client.get(call, self._shape, key)
            case Create():
                return self._client.create(call, self._shape, key, set_field(RECORD, step.record)(Content()))
            case Update():
                version = self._versions[key] if len(self._keys) > 1 else step.resource_version  # each object has its own
                write = Write(Verb.UPDATE, set_field(RECORD, step.record), version)
                return self._client.write(call, self._shape, key, write)


class LeaderForLife:
    """Becomes the leader as soon as the lock can be created, and stays it. pod: its name; stream: draws the waits."""

    def __init__(
        self, env: Clock, pod: str, client: RestClient, writer: int, shape: Shape, key: ObjectKey, stream: Uniforms,
        started: Callable[[], None],
    ):  # fmt: skip
        self._env, self._pod, self._client, self._shape, self._key = env, pod, client, shape, key
        self._stream, self._started, self._call = stream, started, client.call(writer)

    def run(self) -> Generator[Any, Any, None]:
        """The process: ends where the API server fails it, or when it is interrupted (the process was killed)."""
        env, client, call, wait = self._env, self._client, self._call, _FIRST_WAIT
        try:
            yield client.get(call, self._shape, self._key)
            client.received(call)
            if call.outcome not in (Outcome.UNCHANGED, Outcome.NOT_FOUND):
                return
            mine = call.content is not None and call.content.value(OWNER) == self._pod
            while not mine:
                yield client.create(call, self._shape, self._key, set_field(OWNER, self._pod)(Content()))
                client.received(call)
                if call.outcome > CONFLICT:
                    return
                mine = call.outcome is not CONFLICT
                if not mine:
                    yield env.timeout(int(wait * (1 + _JITTER * self._stream.uniform())))
                    wait = min(2 * wait, _LONGEST_WAIT)
            self._started()
            yield env.event()  # for life
        except Interrupt:
            return
