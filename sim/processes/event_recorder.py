"""The event recorder of one running process: what its controllers record is written to the API server, one Event after the other.

    record -> queue of 1000 -> (correlated) -> create | patch of the count -> answered -> the next one
                                                 ^ not found: create      no answer: sleep, then the same again

What to write, and when, is `sim.clientgo.recorder`'s to say; here is who sends it and who waits for the answer. It goes on when
something is recorded, when an answer comes and when a sleep ends: nothing happens while it is idle.

An Event lives for its time to live (1 h) from its last write on: the API server attaches it to its current lease at every write.

Sources: client-go tools/record/event.go (recordToSink, recordEvent, Shutdown); apiserver pkg/registry/generic/registry/store.go
(Update: calculateTTL). Simplified: what is queued when the process ends is lost at once.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from sim.apiserver.objects import Content, ObjectKey
from sim.apiserver.storage import Verb, set_field
from sim.apiserver.storage import Write as ApiWrite
from sim.clientgo.correlator import Event
from sim.clientgo.recorder import Create, EventBroadcaster, Outcome, Patch, Sleep, Write
from sim.etcd import request
from sim.processes.events import Alarm, Call, Clock
from sim.units import Nanoseconds

COUNT: Final = "count"
DEFAULT_NAMESPACE: Final = "default"
"""Where Events about objects without a namespace are (makeEvent)."""
_ANSWERED: Final = {request.Outcome.NOT_FOUND: Outcome.NOT_FOUND, request.Outcome.UNREACHABLE: Outcome.NO_ANSWER}


class EventSink(Protocol):
    """What Events are written through: a `RestClient`."""

    def create(self, call: Call, shape: request.Shape, key: ObjectKey, content: Content, ttl: Nanoseconds) -> Call:
        """Create an object whose life ends."""
        ...

    def write(self, call: Call, shape: request.Shape, key: ObjectKey, write: ApiWrite, ttl: Nanoseconds) -> Call:
        """Write an existing one; its life starts anew."""
        ...

    def received(self, call: Call) -> None:
        """The answer is here."""
        ...


class EventRecorder:
    """Records events of one life of one process.

    call: for its writes alone; shape: of an Event; ttl: how long one lives, nanoseconds; name: tells its Events from those of other
    processes, and of other lives of this one, about the same objects.

    Counts: `recorded` (whatever was asked for), `created`, `patched`; and those of the broadcaster.
    """

    def __init__(
        self, env: Clock, sink: EventSink, call: Call, shape: request.Shape, ttl: Nanoseconds, name: str,
        broadcaster: EventBroadcaster | None = None,
    ):  # fmt: skip
        self._env, self._sink, self._call, self._shape, self._ttl, self._name = env, sink, call, shape, ttl, name
        self.broadcaster = EventBroadcaster() if broadcaster is None else broadcaster  # an empty one is false
        self._alarm = Alarm(env, self._go_on)
        self._request: Write | None = None
        self._stopped = False
        self.recorded = self.created = self.patched = 0

    @property
    def dropped(self) -> int:
        """Events that found the queue full."""
        return self.broadcaster.dropped

    @property
    def skipped(self) -> int:
        """Events that the spam filter held back."""
        return self.broadcaster.skipped

    @property
    def written(self) -> int:
        """Creates and patches that succeeded."""
        return self.broadcaster.written

    @property
    def rejected(self) -> int:
        """Events whose write the API server refused."""
        return self.broadcaster.rejected

    @property
    def given_up(self) -> int:
        """Events that were tried twelve times, without an answer."""
        return self.broadcaster.given_up

    def record(self, event: Event) -> None:
        """Something happened; nobody waits for it to be written. Nothing is recorded once the process has ended."""
        if self._stopped:
            return
        self.recorded += 1
        if self.broadcaster.record(self._env._now, event):
            self._go_on(self._alarm)

    def stop(self) -> None:
        """The process ends: what is under way may still arrive, nothing else is sent. Its successor has a recorder of its own."""
        self._stopped = True

    def _go_on(self, alarm: Alarm) -> None:
        """Send the next write, if it is time for one."""
        if self._stopped:
            return
        now: Nanoseconds = self._env._now
        match self.broadcaster.next(now):
            case Sleep(until):
                if not alarm.armed:
                    alarm.arm(until - now)
            case None:
                pass
            case write:
                self._send(write)

    def _send(self, write: Write) -> None:
        event, call = write.event, self._call
        name = f"{event.name}.{self._name}.{write.name}"
        key = ObjectKey(self._shape.name, event.namespace or DEFAULT_NAMESPACE, name)
        self._request = write
        match write:
            case Create():
                content = Content(fields=((COUNT, event.count, ""),))
                self._sink.create(call, self._shape, key, content, ttl=self._ttl)
            case Patch():
                change = ApiWrite(Verb.PATCH, set_field(COUNT, event.count))
                self._sink.write(call, self._shape, key, change, ttl=self._ttl)
        assert call.callbacks is not None  # it is under way
        call.callbacks.append(self._answered)

    def _answered(self, call: Any) -> None:
        """An answer, or none: see `_outcome`."""
        self._sink.received(call)
        if self._stopped:
            return
        outcome = _outcome(call.outcome)
        if outcome is Outcome.OK:
            if isinstance(self._request, Create):
                self.created += 1
            else:
                self.patched += 1
        instead = self.broadcaster.answered(self._env._now, outcome)
        if instead is not None:
            self._send(instead)
        else:
            self._go_on(self._alarm)


def _outcome(answer: request.Outcome) -> Outcome:
    """How the recorder takes an answer: tried again is only what the API server did not answer at all.

    Every answer of it is a StatusError for client-go, its own and etcd's timeouts (504, 500) and a last 429 included: no other try.
    """
    return Outcome.OK if answer < request.CONFLICT else _ANSWERED.get(answer, Outcome.REJECTED)
