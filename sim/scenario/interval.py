"""How often something happens: at fixed intervals (`157s`) or with exponential gaps (`exp(157s)`, a Poisson stream)."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema

from sim.scenario.quantities import PositiveDuration, read_duration_of
from sim.scenario.refusal import refused, shown
from sim.units import DURATION_FORMS, MICROSECOND, format_duration

EVERY_FORMS: Final = f"exp(157s) for exponential gaps, or {DURATION_FORMS}"
SHORTEST: Final = 10 * MICROSECOND
_EXPONENTIAL: Final = re.compile(r"exp\(\s*(.*?)\s*\)")


class Interval(BaseModel):
    """A stream of events: the mean gap between two, and the law of the gaps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: PositiveDuration
    law: Literal["fixed", "exponential"]


def _read(value: Any) -> Interval:
    if isinstance(value, Interval):
        return value
    match = _EXPONENTIAL.fullmatch(value.strip()) if isinstance(value, str) else None
    mean = read_duration_of(value, match[1] if match else value, f"is not an interval; write {EVERY_FORMS}")
    if mean == 0:
        raise refused(f"{shown(value)} is not an interval above zero; write {EVERY_FORMS}")
    if mean < SHORTEST:
        raise refused(f"{shown(value)} is too short; write at least {format_duration(SHORTEST)}")
    return Interval(mean=format_duration(mean), law="exponential" if match else "fixed")


def _text(value: Interval) -> str:
    mean = format_duration(value.mean)
    return f"exp({mean})" if value.law == "exponential" else mean


Every = Annotated[Interval, BeforeValidator(_read), PlainSerializer(_text, return_type=str), WithJsonSchema({"x-ref": "Every"})]
