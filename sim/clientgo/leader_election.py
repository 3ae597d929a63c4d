"""Leader election on a Lease: who leads, what it writes to stay leader, and when it gives up.

One elector is one process's candidacy, from start to its end (a process that lost restarts with a new identity):

    acquire   try; while that fails sleep 2 s stretched by a uniform factor in [1, 2.2), and try again, without end
    renew     a round: try at once, then at the ticks of `retry_period` since the round began, until one try succeeds or
              `renew_deadline` has passed; after a success sleep `retry_period` and begin the next round
    release   (only if asked for) GET, and UPDATE to an empty holder with a lease of 1 s
    stopped   reported always, even by a candidate that never led

    try       a leader whose observed lease is still valid: UPDATE with the record and version it knows, no GET; if that
              fails, or for everybody else: GET; not there -> CREATE; another's and still valid -> no; else UPDATE

What decides between two processes is never the time written in the lease, but how long ago THIS process has seen the record
change (`observed_time`): a fresh candidate waits a whole lease duration from its own first GET, however old the lease is. A
record counts as changed if it differs when its times are cut to whole seconds.

A new leader writes twice at once: the UPDATE that acquires, and the first renewal in the same instant. A server that does not
answer costs a leader one UPDATE and one GET, each given up after the client's timeout, and then the lead.

A request fails when its answer says so, when nothing came within the client's timeout, or when the candidacy was cancelled; in
a renewal also when the round's deadline passes, which then sends nothing further. The write may have been applied all the same.

Source: k8s.io/client-go v0.35.0, tools/leaderelection/leaderelection.go (acquire, renew, release, tryAcquireOrRenew),
tools/leaderelection/resourcelock/leaselock.go, interface.go (client timeout); apimachinery v0.35.0, pkg/util/wait/backoff.go
(BackoffUntil), loop.go (loopConditionUntilContext), timer.go (fixedTimer).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from sim.clientgo.backoff import Backoff, Uniforms
from sim.units import MICROSECOND, SECOND, Nanoseconds

JITTER_FACTOR: Final = 1.2
"""A candidate's sleep is the retry period and a uniform share of 1.2 of them."""


class LeaseRecord(NamedTuple):
    """What a Lease says, as LeaderElectionRecord: all that an elector reads or writes.

    holder: identity, empty where released. Times in nanoseconds, kept by the server in whole microseconds, None where absent.
    """

    holder: str
    lease_duration_seconds: int
    acquire_time: Nanoseconds | None
    renew_time: Nanoseconds | None
    transitions: int


class Verdict(Enum):
    """How a request on the lease ended; all but OK and NOT_FOUND are alike to an elector."""

    OK = "ok"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    ERROR = "error"
    TIMEOUT = "timeout"


class Answer(NamedTuple):
    """The server's answer: where it is OK, the version that the lease now has, and, to a GET, its record."""

    verdict: Verdict
    resource_version: int | None = None
    record: LeaseRecord | None = None


@dataclass(frozen=True, slots=True)
class Get:
    """Read the lease; without an answer by `expires` (nanoseconds) the client gives up: Verdict.TIMEOUT."""

    expires: Nanoseconds


@dataclass(frozen=True, slots=True)
class Create:
    """Create the lease with `record`; CONFLICT where it exists. `expires`: as in Get."""

    record: LeaseRecord
    expires: Nanoseconds


@dataclass(frozen=True, slots=True)
class Update:
    """Replace the lease's record if its version is still `resource_version`. `expires`: as in Get."""

    record: LeaseRecord
    resource_version: int
    expires: Nanoseconds


@dataclass(frozen=True, slots=True)
class Sleep:
    """Do nothing until `until` (nanoseconds), then proceed."""

    until: Nanoseconds


@dataclass(frozen=True, slots=True)
class NewLeader:
    """OnNewLeader: another identity than before was seen to lead; empty where the lease was found released."""

    identity: str


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """An Event about the lease for the recorder, if there is one: "became leader", "stopped leading"."""

    message: str


@dataclass(frozen=True, slots=True)
class StartedLeading:
    """OnStartedLeading: from now on this process acts as leader."""


@dataclass(frozen=True, slots=True)
class StoppedLeading:
    """OnStoppedLeading: it does not any more, or never did."""


@dataclass(frozen=True, slots=True)
class Done:
    """The candidacy is over; most processes exit."""


Request = Get | Create | Update
Step = Request | Sleep | NewLeader | RecordEvent | StartedLeading | StoppedLeading | Done


@dataclass(frozen=True, slots=True)
class Timing:
    """LeaderElectionConfig's parameters, in nanoseconds; the defaults are those of the core components and controller-runtime.

    client_timeout: of each request, retries included; None: max(1 s, renew_deadline / 2), as NewFromKubeconfig sets it.
    fast_path: whether a leader renews without a GET; client-go before v0.30 does not, and reads the lease every time.
    release_again: whether a release that meets a conflict starts over, as from v0.37 on.
    Raises ValueError where NewLeaderElector would return an error.
    """

    lease_duration: Nanoseconds = 15 * SECOND
    renew_deadline: Nanoseconds = 10 * SECOND
    retry_period: Nanoseconds = 2 * SECOND
    release_on_cancel: bool = False
    client_timeout: Nanoseconds | None = None
    fast_path: bool = True
    release_again: bool = False

    def __post_init__(self) -> None:
        if self.lease_duration <= self.renew_deadline:
            raise ValueError("lease_duration must be greater than renew_deadline")
        if self.renew_deadline <= int(JITTER_FACTOR * float(self.retry_period)):
            raise ValueError(f"renew_deadline must be greater than retry_period * {JITTER_FACTOR}")
        for name in ("lease_duration", "renew_deadline", "retry_period"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be greater than zero")

    @property
    def timeout(self) -> Nanoseconds:
        """How long the client waits for an answer."""
        return max(SECOND, self.renew_deadline // 2) if self.client_timeout is None else self.client_timeout


_GIVEN_UP: Final = Answer(Verdict.TIMEOUT)
_Asking = Generator[Step, Answer | None, Answer]
_Trying = Generator[Step, Answer | None, bool]
_Writing = Generator[Step, Answer | None, Verdict]
_Steps = Generator[Step, Answer | None, None]


class LeaderElector:
    """One candidacy: says step by step what to do, and takes the answers. Times in nanoseconds, 0 a whole second of the wall.

    stream: draws the sleeps of a candidate.

        step = elector.start(now)
        Get, Create, Update   send it; step = elector.proceed(now, answer), at the latest at `expires` with Verdict.TIMEOUT
        Sleep                 wait; step = elector.proceed(now)
        Done                  the end
        all else              take note; step = elector.proceed(now) in the same instant

    At any time `step = elector.cancel(now)` ends the candidacy: what was going on (a sleep, a request) is abandoned.
    """

    __slots__ = (
        "_cancelled", "_context_ends", "_now", "_observed_raw", "_releasing", "_reported", "_resource_version", "_sleep",
        "_step", "_steps", "identity", "observed", "observed_time", "slow_paths", "timing",
    )  # fmt: skip

    def __init__(self, identity: str, stream: Uniforms, timing: Timing | None = None):
        if not identity:
            raise ValueError("the identity of an elector must not be empty")
        self.identity = identity
        self.timing = timing or Timing()
        self.observed = LeaseRecord("", 0, None, None, 0)
        self.observed_time: Nanoseconds = -(2**63)
        self.slow_paths = 0
        self._sleep = (Backoff(self.timing.retry_period, jitter=JITTER_FACTOR), stream)
        self._resource_version: int | None = None
        self._observed_raw: tuple[object, ...] | None = None
        self._reported = ""
        self._now: Nanoseconds = 0
        self._context_ends: Nanoseconds | None = None
        self._cancelled = False
        self._releasing = False
        self._steps = self._run()
        self._step: Step | None = None

    @property
    def is_leader(self) -> bool:
        """Whether the record last seen or written names this process (IsLeader); it may have expired since."""
        return self.observed.holder == self.identity

    @property
    def pending(self) -> Step | None:
        """The step that was returned last and is under way; None before the start."""
        return self._step

    def healthy(self, now: Nanoseconds, tolerance: Nanoseconds) -> bool:
        """False for a leader whose lease ended more than `tolerance` ago (Check, behind /healthz)."""
        return not self.is_leader or now - self.observed_time <= self.timing.lease_duration + tolerance

    def start(self, now: Nanoseconds) -> Step:
        """Run: the first step. Raises RuntimeError if started before."""
        if self._step is not None:
            raise RuntimeError("this elector was started before; a new candidacy needs a new one")
        self._now = now
        self._step = next(self._steps)
        return self._step

    def proceed(self, now: Nanoseconds, answer: Answer | None = None) -> Step:
        """The next step; `answer` if the last one was a request. Raises RuntimeError if that does not fit."""
        if self._step is None or isinstance(self._step, Done):
            raise RuntimeError("the elector is not running")
        if isinstance(self._step, Request) != (answer is not None):
            raise RuntimeError(f"{self._step} takes {'an' if answer is None else 'no'} answer")
        self._now = now
        self._step = self._steps.send(answer)
        return self._step

    def cancel(self, now: Nanoseconds) -> Step:
        """The context was cancelled: the step to take instead of the pending one, which is abandoned.

        The very same object again where a cancel changes nothing: while releasing, when done, when cancelled before; also
        with a report pending (proceed as usual). Raises RuntimeError if it was not started.
        """
        if self._step is None:
            raise RuntimeError("the elector is not running")
        waiting = isinstance(self._step, Request | Sleep) and not self._cancelled and not self._releasing
        self._cancelled = True
        if not waiting:
            return self._step
        return self.proceed(now, _GIVEN_UP if isinstance(self._step, Request) else None)

    def _run(self) -> _Steps:
        if (yield from self._acquire()):
            yield StartedLeading()
            while (yield from self._renew()) and not self._cancelled:
                yield Sleep(self._now + self.timing.retry_period)
                if self._cancelled:
                    break
            if self.timing.release_on_cancel:
                yield from self._release()
            yield RecordEvent("stopped leading")
        yield StoppedLeading()
        yield Done()

    def _acquire(self) -> _Trying:
        backoff, stream = self._sleep
        while not self._cancelled:
            acquired = yield from self._try()
            yield from self._report_transition()
            if acquired:
                yield RecordEvent("became leader")
                return True
            if not self._cancelled:
                yield Sleep(self._now + backoff.step(stream))
        return False

    def _renew(self) -> _Trying:
        """A round of tries; False if the deadline passed."""
        began, period = self._now, self.timing.retry_period
        deadline = self._context_ends = began + self.timing.renew_deadline
        renewed = False
        while True:
            tick = (self._now - began) // period  # the ticker's last; one that fires during a try is kept for its end
            renewed = yield from self._try()
            if renewed or self._over:
                break
            due = began + (tick + 1) * period
            if due > self._now:
                yield Sleep(min(due, deadline))
                if self._over:  # a tick at the deadline itself is not used
                    break
        self._context_ends = None
        yield from self._report_transition()
        return renewed

    @property
    def _over(self) -> bool:
        """Whether the requests' context has ended: cancelled, or the round's deadline has passed."""
        if self._cancelled and not self._releasing:
            return True
        return self._context_ends is not None and self._now >= self._context_ends

    def _try(self) -> _Trying:
        """tryAcquireOrRenew."""
        began = self._now
        record = LeaseRecord(self.identity, self.timing.lease_duration // SECOND, _microseconds(began), _microseconds(began), 0)
        if self.timing.fast_path and self.is_leader and self._valid(began):
            record = record._replace(acquire_time=self.observed.acquire_time, transitions=self.observed.transitions)
            if (yield from self._write(record)):
                return True
            # From here on as everybody else, but for a quirk: the record keeps the acquire time of the lead that was known.
        found = yield from self._get()
        if found.verdict is Verdict.NOT_FOUND:
            return (yield from self._create(record))
        old = found.record
        if found.verdict is not Verdict.OK or old is None:
            return False
        self._observe(old)
        if old.holder and self._valid(began) and not self.is_leader:
            return False
        if self.is_leader:
            self.slow_paths += 1
            record = record._replace(acquire_time=old.acquire_time, transitions=old.transitions)
        else:
            record = record._replace(transitions=old.transitions + 1)
        return (yield from self._write(record))

    def _release(self) -> _Steps:
        self._releasing = True  # in a context of its own, which no cancel ends
        self._context_ends = self._now + self.timing.renew_deadline
        again = True
        while again:
            found = yield from self._get()
            if found.verdict is not Verdict.OK or found.record is None or not self.is_leader:
                return
            now = _microseconds(self._now)
            wrote = yield from self._update(LeaseRecord("", 1, now, now, found.record.transitions))
            again = self.timing.release_again and wrote is Verdict.CONFLICT

    def _get(self) -> _Asking:
        answer = yield from self._ask(Get(self._expires))
        if answer.verdict is Verdict.OK:
            self._resource_version = answer.resource_version
        return answer

    def _create(self, record: LeaseRecord) -> _Trying:
        answer = yield from self._ask(Create(record, self._expires))
        # After a failed create the lock holds an empty object: an update of it fails without being sent.
        self._resource_version = answer.resource_version if answer.verdict is Verdict.OK else None
        self._wrote(record, answer)
        return answer.verdict is Verdict.OK

    def _write(self, record: LeaseRecord) -> _Trying:
        return (yield from self._update(record)) is Verdict.OK

    def _update(self, record: LeaseRecord) -> _Writing:
        if self._resource_version is None:
            return Verdict.ERROR
        answer = yield from self._ask(Update(record, self._resource_version, self._expires))
        if answer.verdict is Verdict.OK:
            self._resource_version = answer.resource_version
        self._wrote(record, answer)
        return answer.verdict

    def _wrote(self, record: LeaseRecord, answer: Answer) -> None:
        if answer.verdict is Verdict.OK:
            self.observed, self.observed_time = record, self._now

    def _ask(self, request: Request) -> _Asking:
        if self._over:
            return _GIVEN_UP  # the context has ended: nothing is sent
        answer = yield request
        return _GIVEN_UP if answer is None else answer

    @property
    def _expires(self) -> Nanoseconds:
        expires = self._now + self.timing.timeout
        return expires if self._context_ends is None else min(expires, self._context_ends)

    def _observe(self, record: LeaseRecord) -> None:
        """A record was read. Only a change counts; our own writes do not enter the comparison."""
        raw = (
            record.holder, record.lease_duration_seconds, _whole_second(record.acquire_time), _whole_second(record.renew_time),
            record.transitions,
        )  # fmt: skip
        if raw != self._observed_raw:
            self.observed, self.observed_time = record, self._now
            self._observed_raw = raw

    def _valid(self, at: Nanoseconds) -> bool:
        return self.observed_time + self.observed.lease_duration_seconds * SECOND > at

    def _report_transition(self) -> _Steps:
        if self.observed.holder != self._reported:
            self._reported = self.observed.holder
            yield NewLeader(self._reported)


def _microseconds(at: Nanoseconds) -> Nanoseconds:
    """A time as a Lease keeps it: MicroTime."""
    return at // MICROSECOND * MICROSECOND


def _whole_second(at: Nanoseconds | None) -> int | None:
    """A time as the raw record keeps it: metav1.Time is written in whole seconds."""
    return None if at is None else at // SECOND
