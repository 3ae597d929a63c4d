"""Rate limiters of the workqueue as a scenario names them: client-go's five, composed freely.

Source: client-go, util/workqueue/default_rate_limiters.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Tag, WithJsonSchema, field_validator

from sim.errors import nearest
from sim.scenario.quantities import Duration, PositiveCount, Rate, format_rate
from sim.scenario.refusal import refused, shown
from sim.scenario.section import Section, field, required
from sim.units import MICROSECOND, MILLISECOND, SECOND, format_duration

_SOURCE: Final = "client-go: default_rate_limiters.go DefaultTypedControllerRateLimiter"

SHORTEST: Final = 10 * MICROSECOND
_FASTEST: Final = 1e5


def _long_enough(value: int) -> int:
    """A key that fails for ever must not fail for ever within one instant."""
    if value < SHORTEST:
        raise refused(f'"{format_duration(value)}" is too short; write at least {format_duration(SHORTEST)}')
    return value


def _not_too_fast(value: float) -> float:
    if value > _FASTEST:
        raise refused(f'"{format_rate(value)}" is too fast; write at most {format_rate(_FASTEST)}')
    return value


Delay = Annotated[Duration, AfterValidator(_long_enough)]


class ExponentialLimiter(Section):
    """A delay per key that doubles with each failure of that key."""

    kind: Literal["exponential"] = field("exponential", "Doubles with each failure of the key.")
    base: Delay = field(5 * MILLISECOND, "Delay after the first failure.", _SOURCE)
    max: Delay = field(1000 * SECOND, "Longest delay.", _SOURCE)


class BucketLimiter(Section):
    """One token bucket for all keys."""

    kind: Literal["bucket"] = field("bucket", "One token bucket for all keys.")
    rate: Annotated[Rate, AfterValidator(_not_too_fast)] = field(10.0, "Tokens per second.", _SOURCE)
    burst: PositiveCount = field(100, "Capacity in tokens.", _SOURCE)


class FastSlowLimiter(Section):
    """A fast delay for the first failures of a key, a slow one afterwards."""

    kind: Literal["fast_slow"] = field("fast_slow", "Fast for the first failures of the key, then slow.")
    fast: Delay = required("Delay of the first failures.")
    slow: Delay = required("Delay afterwards.")
    max_fast_attempts: PositiveCount = required("How many failures are answered fast.")


class MaxOfLimiter(Section):
    """The longest delay of several limiters; each of them counts every failure."""

    kind: Literal["max_of"] = field("max_of", "The longest delay of several limiters.")
    limiters: tuple[Limiter, ...] = required("The limiters to ask.")

    @field_validator("limiters")
    @classmethod
    def _some(cls, limiters: tuple[Limiter, ...]) -> tuple[Limiter, ...]:
        if not limiters:
            raise refused('"[]" is not allowed; at least one limiter is needed')
        return limiters


class MaxWaitLimiter(Section):
    """Another limiter's delay, cut."""

    kind: Literal["with_max_wait"] = field("with_max_wait", "Another limiter's delay, cut.")
    limiter: Limiter = required("The limiter to ask.")
    max: Delay = required("Longest delay.")


LIMITERS: Final[dict[str, type[Section]]] = {
    "exponential": ExponentialLimiter, "bucket": BucketLimiter, "fast_slow": FastSlowLimiter, "max_of": MaxOfLimiter,
    "with_max_wait": MaxWaitLimiter,
}  # fmt: skip
_KINDS: Final = tuple(LIMITERS)


def _spelled_out(value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The short form `{bucket: {rate: 10, burst: 100}}` or `{max_of: [...]}` as the long one, which says its `kind`."""
    if len(value) != 1:
        return value
    ((kind, settings),) = value.items()
    if kind not in _KINDS:
        return value
    if kind == "max_of" and isinstance(settings, list | tuple):
        return {"kind": kind, "limiters": settings}
    if settings is None:
        return {"kind": kind}
    if isinstance(settings, Mapping) and "kind" not in settings:
        return {"kind": kind, **settings}
    wanted = "a list of limiters" if kind == "max_of" else "a mapping of its settings"
    raise refused(f"{shown(settings)} is not {wanted}", at=kind)


def _known(value: Any) -> Any:
    if isinstance(value, Section):
        return value
    if not isinstance(value, Mapping):
        raise refused(f"{shown(value)} is not a mapping, such as {{kind: bucket, rate: 10, burst: 100}}")
    value = _spelled_out(value)
    kind = value.get("kind")
    if kind is None:
        raise refused(f"missing; one of {', '.join(_KINDS)}", at="kind")
    if kind not in _KINDS:
        hint = nearest(str(kind), _KINDS) or f"; one of {', '.join(_KINDS)}"
        raise refused(f"{shown(kind)} is not a kind of limiter{hint}", at="kind")
    return value


Limiter = Annotated[
    Annotated[ExponentialLimiter, Tag("<exponential>")]
    | Annotated[BucketLimiter, Tag("<bucket>")]
    | Annotated[FastSlowLimiter, Tag("<fast_slow>")]
    | Annotated[MaxOfLimiter, Tag("<max_of>")]
    | Annotated[MaxWaitLimiter, Tag("<with_max_wait>")],
    Discriminator(lambda value: f"<{value['kind'] if isinstance(value, Mapping) else value.kind}>"),
    BeforeValidator(_known),
    WithJsonSchema({"x-ref": "Limiter"}),
]

MaxOfLimiter.model_rebuild()
MaxWaitLimiter.model_rebuild()

EXPONENTIAL: Final = ExponentialLimiter()
"""The default with controller-runtime's priority queue: pkg/controller/controller.go NewTypedUnmanaged."""

DEFAULT_CONTROLLER: Final = MaxOfLimiter(limiters=(ExponentialLimiter(), BucketLimiter()))
"""client-go's DefaultTypedControllerRateLimiter."""
