"""How often something happens: at fixed intervals (`157s`) or with exponential gaps (`exp(157s)`, a Poisson stream)."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema

from sim.scenario.quantities import PositiveDuration, read_duration
from sim.scenario.refusal import refused, shown
from sim.units import DURATION_FORMS, format_duration

EVERY_FORMS: Final = f"exp(157s) for exponential gaps, or {DURATION_FORMS}"
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
    try:
        mean = read_duration(match[1] if match else value)
    except Exception:
        raise refused(f"{shown(value)} is not an interval; write {EVERY_FORMS}") from None
    if mean == 0:
        raise refused(f"{shown(value)} is not an interval above zero; write {EVERY_FORMS}")
    return Interval(mean=format_duration(mean), law="exponential" if match else "fixed")


def _text(value: Interval) -> str:
    mean = format_duration(value.mean)
    return f"exp({mean})" if value.law == "exponential" else mean


Every = Annotated[Interval, BeforeValidator(_read), PlainSerializer(_text, return_type=str), WithJsonSchema({"x-ref": "Every"})]
