"""Values as people say them: three significant digits and the unit that fits (1.41 M, 818 MB, 12.3 ms, 25.1 h)."""

from __future__ import annotations

from typing import Final

from sim.errors import InputError
from sim.units import format_duration, parse_duration, parse_size, seconds

ABSENT: Final = "-"

_TIMES: Final = (
    (86_400.0, "d", 3 * 86_400.0), (3_600.0, "h", 7_200.0), (60.0, "min", 120.0),
    (1.0, "s", 1.0), (1e-3, "ms", 1e-3), (1e-6, "us", 1e-6), (1e-9, "ns", 0.0),
)  # fmt: skip
"""Unit in seconds, its name, and from how many seconds on it is used."""
_SIZES: Final = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_COUNTS: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_EXACT_BELOW: Final = 10_000
_CARRY: Final = 0.9995
"""From this part of a unit on, three digits would round up to it."""


def human(value: float | None, unit: str) -> str:
    """A value in SI units as people say it; `unit` is a catalogue unit. `-` where there is none."""
    if value is None or value != value:
        return ABSENT
    if value < 0:
        return f"-{human(-value, unit)}"
    if unit == "seconds":
        return _time(value)
    if unit == "bytes":
        return _scaled(value, _SIZES, "B")
    if unit == "share":
        return f"{_three(100 * value)}%"
    return _scaled(value, _COUNTS, "")


def clock(at_seconds: float) -> str:
    """A moment of the run: `17h04m12s`, so that moments align below each other."""
    whole = round(at_seconds)
    return f"{whole // 3600:3d}h{whole // 60 % 60:02d}m{whole % 60:02d}s"


def horizon(value: float) -> str:
    """How long was simulated: `24h`, `2h24m`."""
    return format_duration(round(value * 1e9)) if value % 86_400 else f"{round(value / 3600)}h"


def factor(value: float | None) -> str:
    """A ratio: `x522`, `x17.2`, `x0.031`."""
    if value is None:
        return ABSENT
    if value >= 10 * _EXACT_BELOW:
        return f"x{_scaled(value, _COUNTS, '')}"
    return f"x{_three(value)}" if value >= 0.1 or value == 0 else f"x{value:.2g}"


def quantity(value: object, unit: str) -> float:
    """The number in SI units that a scenario wrote for a figure of that unit: `1.8s`, `2GiB`, `30d` or a number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"{value!r} is not a value in {unit}")
    if isinstance(value, int | float):
        return float(value)
    try:
        if unit == "seconds":
            return seconds(parse_duration(value))
        return float(parse_size(value)) if unit == "bytes" else float(value)
    except ValueError as error:
        raise InputError(str(error)) from None


def _time(value: float) -> str:
    if value == 0:
        return "0 s"
    for size, name, least in _TIMES:
        if value >= least * _CARRY:
            return f"{_three(value / size)} {name}"
    raise AssertionError(value)


def _scaled(value: float, units: tuple[tuple[float, str], ...], smallest: str) -> str:
    if value < _EXACT_BELOW and (smallest == "" or value < 1_000 * _CARRY):
        number = f"{round(value):,}" if value == round(value) or value >= 1_000 else _three(value)
        return f"{number} {smallest}".rstrip()
    for size, name in units:
        if value >= size * _CARRY:
            return f"{_three(value / size)} {name}"
    raise AssertionError(value)


def _three(value: float) -> str:
    """Three significant digits without an exponent."""
    decimals = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{decimals}f}"


def brief(value: float | None, unit: str) -> str:
    """As `human`, without digits that say nothing: `30 d`, `1.8 s`, `2 GB`; for limits and ticks."""
    number, space, rest = human(value, unit).partition(" ")
    if "." in number and "%" not in number:
        number = number.rstrip("0").rstrip(".")
    return f"{number}{space}{rest}"
