"""Guards: what refuses requests before they do harm. Those of the source article, as it describes them and as its code is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Discriminator, Tag, field_validator

from sim.errors import nearest
from sim.scenario.quantities import Duration, Factor, Fraction, Name, PositiveCount, PositiveDuration, Prefix, Rate
from sim.scenario.refusal import refused, shown
from sim.scenario.section import Section, field, required
from sim.units import MILLISECOND, SECOND

Method = Literal["Put", "DeleteRange", "Txn"]


class Adapt(Section):
    """The rate follows the growth of the applied index."""

    headroom: Fraction = field(0.2, "How much more than what was applied since the last look.", "assumed")
    floor: Fraction = field(0.1, "Share of the declared rate below which it does not fall.", "assumed")


class Cut(Section):
    """The rate is lower while fsyncs are slow."""

    when_fsync_over: PositiveDuration = field(
        10 * MILLISECOND, "Mean of the WAL fsyncs that ended since the last look, above which it is.", "article: 4.2"
    )
    by: Fraction = field(0.3, "By which share.", "article: 4.2")


class Reload(Section):
    """Another rate, from a time on."""

    at: Duration = required("When it is loaded.")
    rate: Rate = required("The rate from then on.")


class WriteLimiter(Section):
    """A token bucket a method in etcd's gRPC layer; a write without a token is refused with ResourceExhausted."""

    kind: Literal["write_limiter"] = required("A limiter of writes.")
    at: Literal["etcd"] = field("etcd", "Where it stands: before the proposal, on the member that is asked.")
    rate: Rate = required("Writes per second, of each method.")
    capacity: Factor = field(2.0, "Size of the bucket: seconds of its rate.", "article: 4.2")
    methods: tuple[Method, ...] = field(
        ("Put", "DeleteRange", "Txn"), "Methods that are limited, each by a bucket of its own. API servers send Txn only."
    )
    prefixes: dict[Prefix, PositiveCount] = field({}, "Rank of keys by prefix, 1 first; all others come last.")
    look: PositiveDuration = field(SECOND, "How often the rate is looked at.", "assumed")
    adapt: Adapt | None = field(None, "Whether the rate follows the applied index; it does not when absent.")
    cut: Cut | None = field(None, "Whether the rate is cut while fsyncs are slow; it is not when absent.")
    reload: tuple[Reload, ...] = field((), "Rates that are loaded later, by time.")
    refill: Literal["counted", "as_published"] = field(
        "counted", "as_published: the article's code, whose refusals leave the time of the last refill where it was."
    )

    @field_validator("methods")
    @classmethod
    def _once(cls, methods: tuple[Method, ...]) -> tuple[Method, ...]:
        if not methods or len(set(methods)) < len(methods):
            raise refused(f"{shown(methods)} is not allowed; name each limited method once, at least one")
        return methods


class Breaker(Section):
    """A circuit breaker in each API server: it turns read-only when too many of the keys that are read are invalid."""

    kind: Literal["breaker"] = required("A breaker to read-only.")
    at: Literal["api"] = field("api", "Where it stands: in each API server, behind the seats.")
    objects: tuple[Name, ...] = field((), "Kinds of objects whose reads count and whose writes it refuses; all when absent.")
    window: PositiveCount = field(1000, "Reads of single objects that it remembers.", "article: 4.3")
    open_at: Fraction = field(0.65, "Share of them that found nothing, from which on it opens.", "article: 4.3")
    probe: PositiveDuration = field(30 * SECOND, "How often etcd is asked while it is open.", "article: 4.3")
    healthy_within: PositiveDuration = field(SECOND, "An answer within this is a success.", "assumed")
    successes: PositiveCount = field(3, "Successes in a row until a write may try.", "article: 4.3")
    rule: Literal["as_published", "fresh_window", "fills_pass"] = field(
        "as_published",
        "as_published: what is remembered stays when it closes. fresh_window: it is forgotten. fills_pass: creates pass while "
        "it is open.",
    )


_KINDS: Final[dict[str, type[Section]]] = {"write_limiter": WriteLimiter, "breaker": Breaker}


def _known(guard: Any) -> Any:
    if isinstance(guard, Section):
        return guard
    if not isinstance(guard, Mapping):
        raise refused(f"{shown(guard)} is not a mapping, such as {{kind: write_limiter, rate: 500/s}}")
    kind = guard.get("kind")
    if kind is None:
        raise refused(f"missing; one of {', '.join(_KINDS)}", at="kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        hint = (nearest(kind, _KINDS) if isinstance(kind, str) else "") or f"; one of {', '.join(_KINDS)}"
        raise refused(f"{shown(kind)} is not a kind of guard{hint}", at="kind")
    return guard


Guard = Annotated[
    Annotated[WriteLimiter, Tag("<write_limiter>")] | Annotated[Breaker, Tag("<breaker>")],
    Discriminator(lambda value: f"<{value['kind'] if isinstance(value, Mapping) else value.kind}>"),
    BeforeValidator(_known),
]
