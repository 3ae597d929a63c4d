"""Values of figures in a scenario: `etcd.apply_seconds.max: 1.8s`, `etcd.keys_created: 2.37e6`.

The name of a figure says its unit (seconds, bytes), so a value may be a number in that unit or text with one.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, WithJsonSchema

from sim.scenario.quantities import format_size, plain, read_duration, read_size
from sim.scenario.refusal import refused, shown
from sim.units import SECOND, format_duration

Unit = Literal["seconds", "bytes", ""]
_FIGURE: Final = re.compile(r"[a-z_]+(\.[A-Za-z0-9_-]+)+")


def unit_of(figure: str) -> Unit:
    """The unit of a figure's values, by its name."""
    words = re.split(r"[._]", figure)
    if words[-1] == "count":
        return ""
    return "seconds" if "seconds" in words else "bytes" if "bytes" in words else ""


def read_value(figure: str, value: object) -> float:
    """A value in the figure's unit."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise refused(f"{shown(value)} is not a value of {figure}")
    match unit_of(figure):
        case "seconds":
            return read_duration(value) / SECOND
        case "bytes":
            return float(read_size(value))
        case _:
            return read_number(value)


def read_number(value: object) -> float:
    """A finite number."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else float("nan")
    except ValueError:
        number = float("nan")
    if number != number or number in (float("inf"), float("-inf")):
        raise refused(f"{shown(value)} is not a number")
    return number


def write_value(figure: str, value: float) -> str | float | int:
    """Text or a number that `read_value` reads back."""
    match unit_of(figure):
        case "seconds":
            return format_duration(round(value * SECOND))
        case "bytes":
            return format_size(round(value))
        case _:
            return plain(value)


def _figure(value: Any) -> Any:
    if not isinstance(value, str) or not _FIGURE.fullmatch(value):
        raise refused(f"{shown(value)} is not the name of a figure; such as etcd.apply_seconds.p99")
    return value


Figure = Annotated[str, BeforeValidator(_figure), WithJsonSchema({"type": "string", "examples": ["etcd.apply_seconds.p99"]})]
