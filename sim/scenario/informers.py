"""Informers: what a controller watches, alone or together with others of its process."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator

from sim.scenario.distribution import Distribution, distribution
from sim.scenario.labels import Labels
from sim.scenario.objects import singular
from sim.scenario.quantities import DurationOrStack, Name
from sim.scenario.refusal import refused, shown
from sim.scenario.section import Section, field, required
from sim.scenario.stacks import FifoKind, Stack
from sim.units import SECOND, Nanoseconds, format_duration

Predicate = Literal["none", "generation_changed", "resource_version_changed"]
SHORTEST_RESYNC: Final = SECOND
"""client-go tools/cache/shared_informer.go minimumResyncPeriod."""


def _resync(value: Nanoseconds | Literal["never"] | None) -> Nanoseconds | Literal["never"] | None:
    if isinstance(value, int) and 0 < value < SHORTEST_RESYNC:
        raise refused(f"{shown(format_duration(value))} is too short; write at least {format_duration(SHORTEST_RESYNC)}, or never")
    return value


class Informer(Section):
    """An informer that several controllers of one process may share."""

    object: Name = required("The object that is watched; when absent, the informer's name without its plural s.")
    selector: Labels = field("", "Labels an object must have; all objects when empty.")
    resync: Annotated[DurationOrStack, AfterValidator(_resync)] = field(
        None, "Period of the resync, at least 1s; `never` for none; when absent, as its first user's stack."
    )
    fifo: FifoKind | None = field(None, "delta or real; when absent, as that stack does.")
    streaming_list: bool | None = field(
        None,
        "Whether the first list comes as watch events; when absent, as that stack does.",
        "client-go features/known_features.go WatchListClient",
    )

    def behaviour(self, stack: Stack) -> tuple[FifoKind, Nanoseconds | None, bool]:
        """Its FIFO, resync (ns, None for never) and whether it streams its first list, in a process of that stack."""
        resync = stack.resync if self.resync is None else self.resync
        streams = stack.streaming_list if self.streaming_list is None else self.streaming_list
        return self.fifo or stack.fifo, None if isinstance(resync, str) else resync, streams


class Watch(Informer):
    """An informer of one controller, and which of its notifications become work."""

    predicate: Predicate = field(
        "none",
        "Which updates become work: all; those that changed the generation, that is the spec (the cure for a controller that wakes "
        "itself with its own status writes); those that changed anything (not a resync).",
        "controller-runtime: no predicate by default; pkg/predicate/predicate.go",
    )
    handler: Distribution = field(
        distribution(constant=0), "Time that the event handler takes for one notification; they queue for it."
    )


def with_objects(watches: Any, objects: Container[str] = ()) -> Any:
    """Watches or informers by name: the object of one without it is its name, without the plural s if only so it is declared."""
    if not isinstance(watches, Mapping):
        return watches
    named: dict[Any, Any] = {}
    for name, watch in watches.items():
        if (watch is None or isinstance(watch, Mapping)) and isinstance(name, str):
            given = {key: value for key, value in (watch or {}).items() if value is not None}
            named[name] = {"object": singular(name, objects), **given}
        else:
            named[name] = watch
    return named


def watching(controllers: Any, objects: Container[str]) -> Any:
    """Controllers by name, with the objects of their watches."""
    if not isinstance(controllers, Mapping):
        return controllers
    return {
        name: {**controller, "watches": with_objects(controller["watches"], objects)}
        if isinstance(controller, Mapping) and "watches" in controller else controller
        for name, controller in controllers.items()
    }  # fmt: skip
