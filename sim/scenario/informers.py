"""Informers: what a controller watches, alone or together with others of its process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from sim.scenario.distribution import Distribution, distribution
from sim.scenario.labels import Labels
from sim.scenario.quantities import DurationOrStack, Name
from sim.scenario.section import Section, field, required
from sim.scenario.stacks import FifoKind

Predicate = Literal["none", "generation_changed", "resource_version_changed"]


class Watch(Section):
    """An informer: one kind of object, and which of them."""

    object: Name = required("The object that is watched; when absent, the name of the watch without its plural s.")
    selector: Labels = field("", "Labels an object must have; all objects when empty.")
    predicate: Predicate = field(
        "none",
        "Which updates become work: all; those that changed the generation, that is the spec (the cure for a controller that wakes "
        "itself with its own status writes); those that changed anything (not a resync).",
        "controller-runtime: no predicate by default; pkg/predicate/predicate.go",
    )
    handler: Distribution = field(
        distribution(constant=0), "Time that the event handler takes for one notification; they queue for it."
    )


class Informer(Section):
    """An informer that several controllers of one process share."""

    object: Name = required("The object that is watched; when absent, the name of the informer without its plural s.")
    selector: Labels = field("", "Labels an object must have; all objects when empty.")
    resync: DurationOrStack = field(None, "Period of the resync; `never` for none; when absent, as its first user's stack.")
    fifo: FifoKind | None = field(None, "delta or real; when absent, as that stack does.")


def singular(watches: Any) -> Any:
    """Watches or informers by name: the object of one without it is its name without the plural s."""
    if not isinstance(watches, Mapping):
        return watches
    named: dict[Any, Any] = {}
    for name, watch in watches.items():
        if (watch is None or isinstance(watch, Mapping)) and isinstance(name, str):
            given = {key: value for key, value in (watch or {}).items() if value is not None}
            named[name] = {"object": name.removesuffix("s"), **given}
        else:
            named[name] = watch
    return named
