"""What the world does: workloads by name, each of a kind; a name that is a kind (`pod-churn`) needs no `kind`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Discriminator, Tag, model_validator

from sim.errors import nearest
from sim.scenario.clients import Target
from sim.scenario.distribution import Distribution, distribution
from sim.scenario.interval import Every
from sim.scenario.labels import Labels
from sim.scenario.maps import MapAccess
from sim.scenario.quantities import Count, Duration, Fraction, Name, PositiveCount, PositiveDuration, Rate, no_more_than
from sim.scenario.reconcile import Written
from sim.scenario.refusal import refused, shown
from sim.scenario.retry import Retry
from sim.scenario.section import Section, field, required
from sim.scenario.services import FLEETS, Certificates, Coordination, Telemetry
from sim.scenario.watches import Watches
from sim.units import MICROSECOND, SECOND, Nanoseconds


class PodChurn(Section):
    """Pods that are replaced: one is deleted and another created each time, with the events that go with it."""

    kind: Literal["pod_churn"] = field("pod_churn", "Pods are replaced one by one.")
    every: Every = required("How often a pod is replaced.")
    until: PositiveDuration | None = field(None, "When the last one is replaced; without end when absent.")
    pods: Count = field(30, "Pods alive at the start, and at any time.", "assumed")
    events_per_pod: Count = field(
        7,
        "Events written per replaced pod.",
        "estimate from code paths: Scheduled, Pulling, Pulled, Created, Started, Killing, and its owner's",
    )
    object: Name = field("pod", "The object that is replaced.")
    event_object: Name = field("event", "The object an event is stored as.")
    labels: Labels = field("app=web", "Labels of the pods, to be matched by the selectors of watches.")


class Lists(Section):
    """A client that lists everything of one kind, again and again, from etcd."""

    kind: Literal["lists"] = field("lists", "A client lists all objects of one kind at intervals.")
    every: Every = required("How often it lists.")
    from_: Duration = field(0, "When it begins.", alias="from")
    object: Name = required("What it lists.")
    keys: Literal["all"] = field("all", "Which keys: all live keys of that object.")
    limit: Count = field(0, "Keys of a page; 0: all in one request. Each page walks the index over what is left.")
    target: Target = field("leader", "Whom it asks, in turn: whoever leads, the members that do not lead at the start, or all.")


class Objects(Section):
    """Objects that exist from the start, and whose users change, replace or delete them."""

    kind: Literal["objects"] = field("objects", "Objects exist, change, and are replaced.")
    object: Name = required("What they are.")
    count: Annotated[PositiveCount, no_more_than(1_000_000)] = required("How many there are, at the start and at any time.")
    labels: Labels = field("", "Their labels, to be matched by the selectors of watches.")
    finalizers: Count = field(0, "Finalizers that they are created with.")
    change_every: Every | None = field(None, "How often the spec of one of them is changed; never when absent.")
    replace_every: Every | None = field(None, "How often one of them is deleted and another created; never when absent.")


class Writers(Section):
    """Clients that all write the same few objects: each reads one, changes it and writes it back, again and again."""

    kind: Literal["writers"] = field("writers", "Clients that write the same objects.")
    object: Name = required("What they write.")
    objects: Annotated[PositiveCount, no_more_than(100_000)] = field(1, "How many objects they share.")
    clients: Annotated[PositiveCount, no_more_than(100_000)] = required("How many clients there are.")
    think: Distribution = field(distribution(constant=0), "Pause of a client between two changes.", "assumed")
    write: Written = field(Written(), "How they write.")
    labels: Labels = field("", "Labels of the objects.")


class Rollout(Section):
    """A StatefulSet that is rolled out: each successor loads everything and tells it to all others, one write an entry."""

    pods: PositiveCount = required("Pods of the set.")
    writes: PositiveCount = required("What each successor writes.")
    rate: Rate = required("How many of these per second.")
    every: PositiveDuration = required("From the end of one pod to that of the next: termination, start, readiness.")
    max_unavailable: PositiveCount = field(1, "Pods that are replaced together.", "kubernetes: apps/v1 StatefulSet")
    min_ready: Duration = field(0, "minReadySeconds: how much longer a successor is waited for.", "kubernetes: apps/v1 StatefulSet")
    partition: Count = field(0, "Pods that stay as they are.", "kubernetes: apps/v1 StatefulSet")
    updates: Name | None = field(
        None, "The object whose update through the API server, webhooks included, each successor waits for; none when absent."
    )

    @property
    def step(self) -> Nanoseconds:
        """From the beginning of one group of pods to the next."""
        return self.every + self.min_ready

    @property
    def lasts(self) -> Nanoseconds:
        """How long a successor writes."""
        return round(self.writes / self.rate * SECOND)

    @property
    def groups(self) -> list[list[int]]:
        """Pods that are replaced, by number, those together that are replaced together."""
        pods = range(max(0, self.pods - self.partition))
        return [list(pods[first : first + self.max_unavailable]) for first in range(0, len(pods), self.max_unavailable)]

    @model_validator(mode="after")
    def _one_after_the_other(self) -> Rollout:
        if self.updates is not None and self.lasts > self.step:
            raise refused("is not allowed where a successor writes for longer than every and min_ready together", at="updates")
        return self


class Storm(Section):
    """Writes that come at a rate whether they are answered or not: each puts a key that never existed, straight to etcd."""

    kind: Literal["storm"] = field("storm", "Writes at a rate that nobody's answer slows down.")
    rate: Rate | None = field(None, "How many are offered per second.")
    from_: Duration = field(0, "When it begins.", alias="from")
    for_: PositiveDuration | None = field(None, "How long it lasts.", alias="for")
    rollout: Rollout | None = field(None, "Instead of rate and for: what successors write, pod by pod.")
    via: Literal["etcd"] = field("etcd", "Whom they ask: etcd, as raw clients of it.")
    object: Name = required("What they write.")
    as_: Literal["requests", "cohorts"] = field(
        "requests", "How they are simulated: one by one, or as arrays, an event a batch: for millions of them.", alias="as"
    )
    gaps: Literal["exponential", "even"] = field("exponential", "Gaps between two of them.", "assumed: independent callers")
    rtt: Duration = field(200 * MICROSECOND, "Round trip to etcd.", "assumed: the same zone")
    target: Target = field("leader", "Whom they ask, in turn: whoever leads, the members that do not lead at the start, or all.")
    watchers: Annotated[Count, no_more_than(100_000)] = field(
        0,
        "Watchers at etcd of that object, a stream each: while synced each takes `costs.watch_event` of every apply; who finds its "
        "channel full falls behind, and is read for.",
    )
    watch_send: PositiveDuration = field(
        10 * MICROSECOND, "What a watcher's stream needs to send a response with one event.", "assumed"
    )
    retry: Retry = field(Retry(), "What the callers do when they are refused or not answered.")

    @model_validator(mode="after")
    def _one_course(self) -> Storm:
        if self.rollout is None:
            for name, value in (("rate", self.rate), ("for", self.for_)):
                if value is None:
                    raise refused("missing; write rate and for, or a rollout", at=name)
        elif self.rate is not None or self.for_ is not None:
            raise refused("is not allowed beside rate and for", at="rollout")
        if self.as_ == "cohorts" and self.target != "leader":
            raise refused(f'"{self.target}" is not allowed as cohorts; write leader, or as: requests', at="target")
        return self

    def course(self) -> list[tuple[int, int, float]]:
        """(from, until, per second) of what is offered, nanoseconds; pieces may overlap."""
        if self.rollout is None:
            assert self.rate is not None
            assert self.for_ is not None
            return [(self.from_, self.from_ + self.for_, self.rate)]
        rollout = self.rollout
        begins = [self.from_ + number * rollout.step for number, group in enumerate(rollout.groups) for _ in group]
        return [(begin, begin + rollout.lasts, rollout.rate) for begin in begins]

    @property
    def updates(self) -> str | None:
        """The object that its rollout updates through the API server."""
        return None if self.rollout is None else self.rollout.updates


class Lookups(Section):
    """Readers who ask for objects by name, as of a cache: who finds nothing creates the object."""

    kind: Literal["lookups"] = field("lookups", "Objects are read by name, and created by who misses them.")
    object: Name = required("What they ask for.")
    keys: Annotated[PositiveCount, no_more_than(1_000_000)] = required("How many objects there are to ask for, all alike.")
    filled: Fraction = field(1.0, "Share of them that is there at the start.")
    every: Every = required("How often one is asked for.")
    missing: Fraction = field(0.0, "Share of lookups that ask for something that never is there, and that nobody creates.")
    fill: bool = field(True, "Whether who finds nothing creates the object.")
    flush_at: Duration | None = field(None, "When all of them are deleted; never when absent.")


_KINDS: Final[dict[str, type[Section]]] = {
    "pod_churn": PodChurn, "lists": Lists, "objects": Objects, "writers": Writers, **FLEETS, "storm": Storm, "lookups": Lookups,
    "watches": Watches,
}  # fmt: skip


def name_kinds(workloads: object) -> object:
    """Give each workload without a `kind` the kind that its name is, if it is one."""
    if not isinstance(workloads, Mapping):
        return workloads
    named: dict[Any, Any] = {}
    for name, workload in workloads.items():
        kind = str(name).replace("-", "_")
        if (workload is None or isinstance(workload, Mapping)) and kind in _KINDS:
            named[name] = {"kind": kind, **{key: value for key, value in (workload or {}).items() if value is not None}}
        else:
            named[name] = workload
    return named


def _known(workload: Any) -> Any:
    if isinstance(workload, Section):
        return workload
    if workload is not None and not isinstance(workload, Mapping):
        raise refused(f"{shown(workload)} is not a mapping, such as {{kind: pod_churn, every: 5m}}")
    kind = (workload or {}).get("kind")
    if kind is None:
        raise refused(f"missing, and the name is not a kind; one of {', '.join(_KINDS)}", at="kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        hint = (nearest(kind, _KINDS) if isinstance(kind, str) else "") or f"; one of {', '.join(_KINDS)}"
        raise refused(f"{shown(kind)} is not a kind of workload{hint}", at="kind")
    return workload


Workload = Annotated[
    Annotated[PodChurn, Tag("<pod_churn>")]
    | Annotated[Lists, Tag("<lists>")]
    | Annotated[Objects, Tag("<objects>")]
    | Annotated[Writers, Tag("<writers>")]
    | Annotated[Coordination, Tag("<coordination>")]
    | Annotated[Certificates, Tag("<certificates>")]
    | Annotated[Telemetry, Tag("<telemetry>")]
    | Annotated[MapAccess, Tag("<map_access>")]
    | Annotated[Storm, Tag("<storm>")]
    | Annotated[Lookups, Tag("<lookups>")]
    | Annotated[Watches, Tag("<watches>")],
    Discriminator(lambda value: f"<{value['kind'] if isinstance(value, Mapping) else value.kind}>"),
    BeforeValidator(_known),
]


def objects_of(workload: Section) -> dict[str, str]:
    """The kinds of objects that a workload names, by field."""
    fields = (name for name in type(workload).model_fields if name == "object" or name.endswith("_object"))
    return {name: kind for name in fields if (kind := getattr(workload, name)) is not None}


READERS: Final = (Lists, Watches)
"""Workloads that write nothing."""
