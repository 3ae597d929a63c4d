"""Claims about Go, client-go and the API server that are not true of them: each a switch, to see what it would change."""

from __future__ import annotations

from sim.scenario.quantities import Fraction
from sim.scenario.section import Section, field, required


class MapReadInserts(Section):
    """A look-up of a key that a Go map does not have would put the zero value there."""

    miss_rate: Fraction = required("Share of reconciles that look up a key that is not there.")


class Hypotheses(Section):
    """What the source article takes for granted and the real components do not do. All off: the real behaviour."""

    map_read_inserts: MapReadInserts | None = field(
        None,
        "Whether a look-up that misses inserts a zero value into the controller's map, and how many do.",
        "real: never (Go specification, index expressions: the zero value is returned, the map is unchanged)",
    )
    merge_patch_locks: bool = field(
        False,
        "Whether a merge patch carries the resource version of its author's copy and meets conflicts, without being asked to.",
        "real: only with MergeFromWithOptimisticLock (controller-runtime pkg/client/patch.go)",
    )
    degenerate_keys: Fraction = field(
        0.0,
        "Share of the objects that reach informers without their names, half of them without their namespaces, too: many share "
        "the keys `default/` and the empty one. All informers of controllers get them.",
        "real: 0; an API server stores nothing without a name (apimachinery pkg/api/validation/objectmeta.go)",
    )
