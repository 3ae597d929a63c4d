"""What the world does: workloads by name, each of a kind; a name that is a kind (`pod-churn`) needs no `kind`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Discriminator, Tag

from sim.errors import nearest
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
from sim.units import MICROSECOND


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


class Storm(Section):
    """Writes that come at a rate whether they are answered or not: each puts a key that never existed, straight to etcd."""

    kind: Literal["storm"] = field("storm", "Writes at a rate that nobody's answer slows down.")
    rate: Rate = required("How many are offered per second.")
    from_: Duration = field(0, "When it begins.", alias="from")
    for_: PositiveDuration = required("How long it lasts.", alias="for")
    via: Literal["etcd"] = field("etcd", "Whom they ask: etcd, as raw clients of it.")
    object: Name = required("What they write.")
    gaps: Literal["exponential", "even"] = field("exponential", "Gaps between two of them.", "assumed: independent callers")
    rtt: Duration = field(200 * MICROSECOND, "Round trip to etcd.", "assumed: the same zone")
    retry: Retry = field(Retry(), "What the callers do when they are refused or not answered.")


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
    | Annotated[Lookups, Tag("<lookups>")],
    Discriminator(lambda value: f"<{value['kind'] if isinstance(value, Mapping) else value.kind}>"),
    BeforeValidator(_known),
]


def objects_of(workload: Section) -> dict[str, str]:
    """The kinds of objects that a workload names, by field."""
    fields = (name for name in type(workload).model_fields if name == "object" or name.endswith("_object"))
    return {name: getattr(workload, name) for name in fields}
