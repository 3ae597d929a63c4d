"""Controllers: what they watch, how they queue and limit, what one reconcile does; the stack decides what is left open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema, field_validator, model_validator

from sim.scenario.apiserver import PriorityLevel
from sim.scenario.informers import Predicate, Watch, with_objects
from sim.scenario.limiters import Limiter
from sim.scenario.quantities import (
    Count,
    DurationOrAdaptive,
    Name,
    PositiveCount,
    PositiveDuration,
    format_rate,
    no_more_than,
    read_rate,
)
from sim.scenario.reconcile import Reconcile
from sim.scenario.refusal import refused, shown
from sim.scenario.section import Section, field
from sim.scenario.self_check import SelfCheck
from sim.scenario.stacks import STACKS, Election, FifoKind, QueueKind, Stack, StackName
from sim.units import SECOND, Nanoseconds, format_duration

RateOrOff = Annotated[
    float | Literal["off"] | None,
    BeforeValidator(lambda value: "off" if value in ("off", "never", "none") else read_rate(value)),
    PlainSerializer(lambda value: format_rate(value) if isinstance(value, float) else value, return_type=str | None),
    WithJsonSchema({"x-ref": "RateOrOff"}),
]


MOST_PROCESSES: Final = 10_000


class Client(Section):
    """The controller's API client: its limiter, and who it is to the API server."""

    qps: RateOrOff = field(None, "Requests per second; `off` for no limiter; when absent, as the stack does.")
    burst: PositiveCount | None = field(None, "Capacity of the bucket in requests; when absent, as the stack does.")
    timeout: DurationOrAdaptive = field(
        None,
        "How long it waits for the answer to a read or write before it gives up, which is an error of the reconcile: a duration; "
        "adaptive: as long as answers have been taking, twice as long after one that did not come (RFC 6298); off: for ever.",
        "client-go rest/config.go Timeout: none by default",
    )
    priority_level: PriorityLevel = field(
        "workload-low",
        "The priority level that its requests belong to.",
        "apiserver: pkg/apis/flowcontrol/bootstrap/default.go: service accounts",
    )


class Queue(Section):
    """The workqueue and its rate limiter."""

    kind: QueueKind | None = field(None, "rate_limiting or priority; when absent, as the stack does.")
    limiter: Limiter | None = field(None, "Delay of a key that failed; when absent, as the stack does with this kind of queue.")


class Cache(Section):
    """The controller's own map from key to object."""

    on_delete: Literal["remove-key", "keep-zero-value"] = field(
        "remove-key", "What a deleted object leaves in the map: nothing, or its key with a zero value (the bug)."
    )


class ElectionClocks(Section):
    """The clocks of a leader-elected process; what is absent is as the stack does."""

    lease_duration: PositiveDuration | None = field(None, "Others may take over a lease that was not renewed for this long.")
    renew_deadline: PositiveDuration | None = field(None, "A leader that could not renew for this long steps down.")
    retry_period: PositiveDuration | None = field(None, "Between two tries, of leaders and candidates.")
    release_on_cancel: bool | None = field(None, "Whether a process that is stopped in an orderly way gives the lease up.")


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a controller does in the end. qps: None for no limiter; resync: None for never; times in nanoseconds.

    elected: whether it runs only while it holds a lock; election: its clocks, None also where the lock is never renewed
    (leader-for-life). defaults: all that the release decides. origin:
    `scenario`, or the stack that gave the value, by path.
    """

    stack: str
    client_go: str
    qps: float | None
    burst: int
    queue: QueueKind
    limiter: Limiter
    fifo: FifoKind
    resync: Nanoseconds | None
    elected: bool
    election: Election | None
    recover_panic: bool
    workers: int
    every: Nanoseconds | None
    defaults: Stack
    origin: dict[str, str]


class Controller(Section):
    """A controller process: informers, one workqueue, workers, a client."""

    stack: StackName = field("controller-runtime-0.23", "Library release: client limiter, queue, limiter and FIFO come from it.")
    count: Annotated[PositiveCount, no_more_than(10_000)] = field(
        1, "How many equal controllers there are: each a process with a lease of its own, all on the same objects."
    )
    workers: Annotated[PositiveCount, no_more_than(100_000)] | None = field(
        None, "Reconcile goroutines; when absent, as the stack does: mostly 1."
    )
    cpus: PositiveCount = field(2, "Cores of its node, for stacks that run one worker per core.")
    standby: Annotated[Count, no_more_than(100)] = field(0, "Further replicas of each of them that wait for its lease.")
    shards: Annotated[PositiveCount, no_more_than(1_000)] = field(
        1, "How many active processes share the keys among them, by hash; each has its own lease and watches everything."
    )
    informers: tuple[Name, ...] = field((), "Shared informers that it adds a handler to, by name.")
    predicates: dict[Name, Predicate] = field(
        {}, "Which updates of a shared informer become its work, by the informer's name; all when absent. See watches."
    )
    watches: dict[Name, Watch] = field({}, "Informers of its own, by name.")
    client: Client = field(Client(), "The limiter of the controller's API client.")
    queue: Queue = field(Queue(), "The workqueue and its rate limiter.")
    max_retries: Count | None = field(
        None,
        "A key that failed this often is dropped until its next event; without end when absent.",
        "controller-runtime: no limit",
    )
    recover_panic: bool | None = field(
        None, "Whether a panic of a reconcile is an error, not the end of the process; when absent, as the stack does."
    )
    leader_election: bool = field(True, "Whether it holds and renews a lease.", "controller-runtime: usual in production")
    election: ElectionClocks = field(ElectionClocks(), "The clocks of the election.")
    restart: PositiveDuration = field(
        2 * SECOND,
        "From the end of the process to the start of the next, the first time; one that ends again and again waits 10 s, 20 s ... "
        "5 min more (kubelet).",
        "assumed; kubelet: MaxContainerBackOff",
    )
    self_check: SelfCheck | None = field(None, "A look for zero values in its map from time to time; none when absent.")
    cache: Cache = field(Cache(), "The controller's own map from key to object.")
    reconcile: Reconcile = field(Reconcile(), "One reconcile of one entry.")

    @field_validator("watches", mode="before")
    @classmethod
    def _singular(cls, watches: Any) -> Any:
        return with_objects(watches)

    @model_validator(mode="after")
    def _queue_exists(self) -> Controller:
        if self.queue.kind == "priority" and not STACKS[self.stack].has_priority_queue:
            raise refused(f'"priority" is not a queue of {self.stack}; it exists from controller-runtime-0.20 on', at="queue.kind")
        return self

    @model_validator(mode="after")
    def _waits_for_something(self) -> Controller:
        if self.standby and not self.leader_election:
            reason = "a standby waits for a lease; write 0, or turn leader_election on"
            raise refused(f'"{self.standby}" is not allowed: {reason}', at="standby")
        return self

    @model_validator(mode="after")
    def _not_too_many(self) -> Controller:
        processes = self.count * self.shards * (1 + self.standby)
        if processes > MOST_PROCESSES:
            raise refused(f'"{processes}" processes (count x shards x replicas) are too many; at most {MOST_PROCESSES}', at="count")
        return self

    @model_validator(mode="after")
    def _clocks_fit(self) -> Controller:
        clocks = self._elected(STACKS[self.stack].election)
        if clocks is None:
            return self
        if clocks.lease <= clocks.renew_deadline:
            lease, deadline = format_duration(clocks.lease), format_duration(clocks.renew_deadline)
            raise refused(f'"{lease}" is not longer than the renew deadline of {deadline}', at="election.lease_duration")
        if clocks.renew_deadline <= 1.2 * clocks.retry_period:
            deadline, period = format_duration(clocks.renew_deadline), format_duration(clocks.retry_period)
            raise refused(f'"{deadline}" is not longer than 1.2 retry periods of {period}', at="election.renew_deadline")
        return self

    @model_validator(mode="after")
    def _watches_what_it_writes(self) -> Controller:
        reconcile = self.reconcile
        chance = (reconcile.errors, reconcile.terminal_errors, reconcile.requeues, reconcile.panics, reconcile.poisoned)
        acts = reconcile.writes or reconcile.finalizer or reconcile.events or any(chance)
        if acts and not (self.watches or self.informers):
            raise refused('"{}" is not allowed: a controller that works on objects has to watch them', at="watches")
        if acts and reconcile.on_zero_value is not None:
            ways = "a controller creates objects for zero values, or it works on what it watches (writes, events, errors ...)"
            raise refused(f"{ways}, not both", at="reconcile")
        kinds = {watch.object for watch in self.watches.values()}
        if reconcile.on_zero_value is not None and reconcile.on_zero_value.watched and reconcile.on_zero_value.create not in kinds:
            raise refused(
                f"{shown(reconcile.on_zero_value.create)} is watched by none of its watches; it would not come back",
                at="reconcile.on_zero_value.create",
            )
        if acts and len(kinds) > 1:
            raise refused(f"{shown(sorted(kinds))} are several kinds of objects; write a controller for each", at="watches")
        return self

    def resolved(self) -> Resolved:
        """What it does in the end, and whether the scenario or the stack said so."""
        stack = STACKS[self.stack]
        queue = self.queue.kind or stack.queue
        qps: float | None = stack.qps
        if self.client.qps is not None:
            qps = None if isinstance(self.client.qps, str) else self.client.qps
        given = {
            "client.qps": self.client.qps,
            "client.burst": self.client.burst,
            "queue.kind": self.queue.kind,
            "queue.limiter": self.queue.limiter,
            "recover_panic": self.recover_panic,
            "leader election": self.election if self.election != ElectionClocks() else None,
            "workers": self.workers,
            "reconcile_every": self.reconcile.every,
        }
        return Resolved(
            stack=stack.name,
            client_go=stack.client_go,
            qps=qps,
            burst=self.client.burst or stack.burst,
            queue=queue,
            limiter=self.queue.limiter or stack.limiter(queue),
            fifo=stack.fifo,
            resync=stack.resync,
            elected=self.leader_election,
            election=self._elected(stack.election) if self.leader_election else None,
            recover_panic=stack.recover_panic if self.recover_panic is None else self.recover_panic,
            workers=self._workers(stack),
            every=_or_never(stack.reconcile_every if self.reconcile.every is None else self.reconcile.every),
            defaults=stack,
            origin={path: stack.name if value is None else "scenario" for path, value in given.items()},
        )

    def _workers(self, stack: Stack) -> int:
        """Its reconcile goroutines."""
        if self.workers is not None:
            return self.workers
        return self.cpus if stack.workers == "cpus" else stack.workers or 1

    def _elected(self, stacks: Election | None) -> Election | None:
        """The clocks of its election; None where the lock is never renewed."""
        if stacks is None:
            return None
        given = self.election
        return replace(
            stacks,
            lease=given.lease_duration or stacks.lease,
            renew_deadline=given.renew_deadline or stacks.renew_deadline,
            retry_period=given.retry_period or stacks.retry_period,
            release_on_cancel=stacks.release_on_cancel if given.release_on_cancel is None else given.release_on_cancel,
        )


def _or_never(period: int | Literal["never"] | None) -> Nanoseconds | None:
    return None if period == "never" else period


def resolve_stack(controller: Controller) -> Resolved:
    """The effective values of a controller's stack, and where each came from."""
    return controller.resolved()
