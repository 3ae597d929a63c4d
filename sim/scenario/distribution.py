"""Distributions of durations, as a user writes them; what draws from them stands elsewhere.

1ms  or  {constant: 1ms}                           always the same
{median: 1ms, p99: 5ms}                            lognormal
{mean: 700us, sd: 240us}                           gamma
{quantiles: {0: 80us, 0.5: 118us, 1: 15ms}}        empirical: linear between the points
{mixture: [{weight: 0.99, median: 1ms, p99: 5ms}, {weight: 0.01, constant: 100ms}]}
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Final

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    WithJsonSchema,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from sim.scenario.quantities import Duration, Fraction, PositiveDuration, plain, read_duration_of, read_fraction
from sim.scenario.refusal import refused, shown
from sim.scenario.section import Section
from sim.units import DURATION_FORMS, format_duration

FORMS: Final = "a duration, {median, p99}, {mean, sd}, {quantiles} or {mixture}"


class Constant(Section):
    """Always the same duration."""

    constant: Duration

    @model_serializer
    def _bare(self) -> str:
        return format_duration(self.constant)


class Lognormal(Section):
    """Lognormal through its median and its 99th percentile."""

    median: PositiveDuration
    p99: PositiveDuration

    @model_validator(mode="after")
    def _rising(self) -> Lognormal:
        if self.p99 < self.median:
            raise refused(f"{shown(format_duration(self.p99))} is below the median", at="p99")
        return self


class Gamma(Section):
    """Gamma with a mean and a standard deviation."""

    mean: PositiveDuration
    sd: PositiveDuration


def _points(value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise refused(f"{shown(value)} is not a mapping of probabilities to durations")
    points: dict[float, int] = {}
    for key, duration in value.items():
        probability = read_fraction(key)
        try:
            points[probability] = read_duration_of(duration, duration, f"is not a duration; write {DURATION_FORMS}")
        except PydanticCustomError as error:
            raise refused(error.message(), at=str(key)) from None
    probabilities = list(points)
    if not probabilities or probabilities[0] != 0 or probabilities[-1] != 1:
        raise refused("the points must begin at probability 0 and end at 1")
    for low, high in pairwise(probabilities):
        if high <= low or points[high] < points[low]:
            raise refused("probabilities and durations must rise from point to point", at=str(plain(high)))
    return points


class Empirical(Section):
    """Quantiles, straight between the points: probability (0 to 1) to nanoseconds."""

    quantiles: Annotated[
        dict[float, int],
        BeforeValidator(_points),
        PlainSerializer(lambda points: {plain(p): format_duration(value) for p, value in points.items()}),
    ]


class Part(Section):
    """One component of a mixture: its weight beside the keys of any other form."""

    weight: Fraction
    of: Distribution = Field(alias="<of>")

    @model_validator(mode="before")
    @classmethod
    def _split(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "<of>" not in data:
            rest = {key: value for key, value in data.items() if key != "weight"}
            return {**({"weight": data["weight"]} if "weight" in data else {}), "<of>": rest}
        return data

    @model_serializer
    def _merged(self) -> dict[str, Any]:
        of = self.of
        form = {"constant": format_duration(of.constant)} if isinstance(of, Constant) else of.model_dump()
        return {"weight": plain(self.weight), **form}


class Mixture(Section):
    """One of several distributions at each draw, by weight."""

    mixture: tuple[Part, ...]

    @field_validator("mixture")
    @classmethod
    def _whole(cls, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        total = sum(part.weight for part in parts)
        if abs(total - 1) > 1e-9:
            raise refused(f"the weights add up to {total:g}; they must add up to 1")
        return parts


_FORMS: Final[dict[str, type[Section]]] = {
    "constant": Constant, "median": Lognormal, "p99": Lognormal, "mean": Gamma, "sd": Gamma,
    "quantiles": Empirical, "mixture": Mixture,
}  # fmt: skip
FORM_KEYS: Final = frozenset(_FORMS)
"""Keys that make a mapping a distribution: such a mapping is one value, never merged with another."""


def _tag(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"<{next(_FORMS[key] for key in value if key in _FORMS).__name__}>"
    return f"<{type(value).__name__}>"


def _read(value: Any) -> Any:
    if isinstance(value, Section):
        return value
    if isinstance(value, Mapping):
        if not any(key in _FORMS for key in value):
            raise refused(f"{shown(value)} is not a distribution; write {FORMS}")
        return value
    duration = read_duration_of(value, value, f"is not a duration; write {DURATION_FORMS}, or {FORMS}")
    return Constant(constant=format_duration(duration))


Distribution = Annotated[
    Annotated[Constant, Tag("<Constant>")]
    | Annotated[Lognormal, Tag("<Lognormal>")]
    | Annotated[Gamma, Tag("<Gamma>")]
    | Annotated[Empirical, Tag("<Empirical>")]
    | Annotated[Mixture, Tag("<Mixture>")],
    Discriminator(_tag),
    BeforeValidator(_read),
    WithJsonSchema({"x-ref": "Distribution"}),
]

Part.model_rebuild()
Mixture.model_rebuild()


def distribution(**form: Any) -> Any:
    """A distribution for a field's default: `distribution(median="1ms", p99="4ms")`."""
    return next(_FORMS[key] for key in form)(**form)
