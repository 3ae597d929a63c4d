"""Quantities with units, as types of scenario fields: written as text or number, stored as nanoseconds, bytes or a float.

A type here is three things at once: how input is read (and refused in one line), how a stored value is written as text
that reads back exactly, and what the JSON Schema tells an editor. `x-ref` names the definition in `schema.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from sim.scenario.refusal import refused, shown
from sim.units import DAY, DURATION_FORMS, SIZE_FORMS, format_duration, parse_duration, parse_size

RATE_FORMS: Final = "27/s, 600/min, 4/h or a number per second"
FRACTION_FORMS: Final = "12% or a number from 0 to 1"
BANDWIDTH_FORMS: Final = "200MB/s, 1GiB/s or a number of bytes per second"
FACTOR_FORMS: Final = "2x, or a number"
NAME_FORMS: Final = "letters, digits, - and _"

_NONE_WORDS: Final = ("off", "never", "none")
LONGEST: Final = 36_500 * DAY
_NUMBER: Final = r"([0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?)"
_RATE: Final = re.compile(_NUMBER + r"\s*/\s*(s|min|m|h|d)")
_PER: Final = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400}
_PERCENT: Final = re.compile(_NUMBER + r"\s*%")
_PREFIX: Final = re.compile(r"/(?:[A-Za-z0-9_.:-]+/)*[A-Za-z0-9_.:-]*")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def read_duration(value: object) -> int:
    """Nanoseconds, zero or more, up to 100 years: sums of a few stay within Go's 64 bits."""
    return _not_too_long(_measure(value, parse_duration, "a duration", DURATION_FORMS), value)


def read_duration_of(written: object, value: object, instead: str) -> int:
    """As `read_duration`, of a value inside what is written; `instead` is said of what is not a duration at all."""
    try:
        measured = _measure(value, parse_duration, "a duration", DURATION_FORMS)
    except PydanticCustomError:
        raise refused(f"{shown(written)} {instead}") from None
    return _not_too_long(measured, written)


def read_size(value: object) -> int:
    """Bytes, zero or more."""
    return _measure(value, parse_size, "a size", SIZE_FORMS)


def format_size(value: int) -> str:
    """The shortest text that `read_size` reads back exactly: 2GiB, 64MB, 600B."""
    units = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "GB": 10**9, "MB": 10**6, "kB": 10**3, "B": 1}
    return min((f"{value // size}{unit}" for unit, size in units.items() if value % size == 0 and value), key=len, default="0B")


def _not_too_long(measured: int, written: object) -> int:
    if measured > LONGEST:
        raise refused(f"{shown(written)} is too long; write at most 36500d")
    return measured


def _measure(value: object, parse: Callable[[str | int | float], int], what: str, forms: str) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise refused(f"{shown(value)} is not {what}; write {forms}")
    try:
        measured = parse(value)
    except (ValueError, OverflowError):
        raise refused(f"{shown(value)} is not {what}; write {forms}") from None
    if measured < 0:
        raise refused(f"{shown(value)} is negative; write {forms}")
    return measured


def read_rate(value: object) -> float:
    """Per second, above zero."""
    rate = _number(value)
    if rate is None and isinstance(value, str) and (match := _RATE.fullmatch(value.strip())):
        rate = float(match[1]) / _PER[match[2]]
    if rate is None:
        raise refused(f"{shown(value)} is not a rate; write {RATE_FORMS}")
    if rate <= 0:
        raise refused(f"{shown(value)} is not a rate above zero; write {RATE_FORMS}")
    return rate


def format_rate(value: float) -> str:
    """Text that `read_rate` reads back exactly."""
    return f"{plain(value)}/s"


def read_fraction(value: object) -> float:
    """From 0 to 1."""
    share = _number(value)
    if share is None and isinstance(value, str) and (match := _PERCENT.fullmatch(value.strip())):
        share = float(match[1]) / 100
    if share is None or not 0 <= share <= 1:
        raise refused(f"{shown(value)} is not a fraction; write {FRACTION_FORMS}")
    return share


def read_bandwidth(value: object) -> int:
    """Bytes per second, above zero."""
    text = value.strip().removesuffix("/s").strip() if isinstance(value, str) else value
    try:
        per_second = read_size(text)
    except Exception:
        raise refused(f"{shown(value)} is not a bandwidth; write {BANDWIDTH_FORMS}") from None
    if per_second == 0:
        raise refused(f"{shown(value)} is not a bandwidth above zero; write {BANDWIDTH_FORMS}")
    return per_second


def read_count(value: object) -> int:
    """A whole number, zero or more; `2.37e6` is one."""
    number = _number(value)
    if number is None or number != int(number):
        raise refused(f"{shown(value)} is not a whole number")
    if number < 0:
        raise refused(f"{shown(value)} is negative; write a whole number from 0")
    return int(value) if isinstance(value, int) else int(number)


def read_name(value: object) -> str:
    """A name that can stand in a dotted path."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        quotes = "" if isinstance(value, str) else ", in quotes if it is a number"
        raise refused(f"{shown(value)} is not a name; {NAME_FORMS}{quotes}")
    return value


def read_prefix(value: object) -> str:
    """What keys of etcd begin with."""
    if not isinstance(value, str) or not _PREFIX.fullmatch(value):
        raise refused(f"{shown(value)} is not a prefix of keys; write it such as /registry/pods/")
    return value


def read_factor(value: object) -> float:
    """A multiple, above zero."""
    text = value.strip().removesuffix("x") if isinstance(value, str) else value
    factor = _number(text)
    if factor is None or factor <= 0:
        raise refused(f"{shown(value)} is not a multiple above zero; write {FACTOR_FORMS}")
    return factor


def plain(value: float) -> float | int:
    """A number without a needless `.0`."""
    return int(value) if value == int(value) and abs(value) < 2**53 else value


def _number(value: object) -> float | None:
    """A finite number, also written as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _positive(value: int) -> int:
    if value == 0:
        raise refused('"0" is not allowed; it must be above zero')
    return value


def _or_none(read: Callable[[object], int]) -> Callable[[object], int | None]:
    return lambda value: None if value in _NONE_WORDS else read(value)


def _written(write: Callable[[int], str], nothing: str | None) -> Callable[[int | None], str | None]:
    return lambda value: nothing if value is None else write(value)


def _described(ref: str, **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"x-ref": ref, **more})


_DURATION_TEXT: Final = PlainSerializer(format_duration, return_type=str)

Duration = Annotated[int, BeforeValidator(read_duration), _DURATION_TEXT, _described("Duration")]
"""Nanoseconds, zero or more."""

PositiveDuration = Annotated[
    int,
    BeforeValidator(lambda value: _positive(read_duration(value))),
    _DURATION_TEXT,
    _described("Duration"),
]
"""Nanoseconds, above zero."""

DurationOrNever = Annotated[
    int | None,
    BeforeValidator(_or_none(read_duration)),
    PlainSerializer(_written(format_duration, None), return_type=str | None),
    _described("DurationOrNever"),
]
"""Nanoseconds; None for `never`, `none` and `off`."""

DurationOrStack = Annotated[
    int | Literal["never"] | None,
    BeforeValidator(lambda value: "never" if value in _NONE_WORDS else read_duration(value)),
    PlainSerializer(lambda value: format_duration(value) if isinstance(value, int) else value, return_type=str | None),
    _described("DurationOrNever"),
]
"""Nanoseconds, or `never`; None, where nothing is given: as the stack does."""

DurationOrAdaptive = Annotated[
    int | Literal["adaptive"] | None,
    BeforeValidator(
        lambda value: None if value in _NONE_WORDS else value if value == "adaptive" else _positive(read_duration(value))
    ),
    PlainSerializer(lambda value: format_duration(value) if isinstance(value, int) else value, return_type=str | None),
    _described("DurationOrAdaptive"),
]
"""Nanoseconds above zero, or `adaptive`; None for `never`, `none` and `off`."""

Size = Annotated[int, BeforeValidator(read_size), PlainSerializer(format_size, return_type=str), _described("Size")]
"""Bytes, zero or more."""

SizeOrOff = Annotated[
    int | None,
    BeforeValidator(lambda value: None if value in _NONE_WORDS else _positive(read_size(value))),
    PlainSerializer(_written(format_size, "off"), return_type=str),
    _described("SizeOrOff"),
]
"""Bytes, above zero; None for `off`, and written back as `off`."""

Bandwidth = Annotated[
    int,
    BeforeValidator(read_bandwidth),
    PlainSerializer(lambda value: f"{format_size(value)}/s", return_type=str),
    _described("Bandwidth"),
]
"""Bytes per second, above zero."""

Rate = Annotated[float, BeforeValidator(read_rate), PlainSerializer(format_rate, return_type=str), _described("Rate")]
"""Per second, above zero."""

Fraction = Annotated[float, BeforeValidator(read_fraction), PlainSerializer(plain, return_type=float), _described("Fraction")]
"""From 0 to 1."""

Count = Annotated[int, BeforeValidator(read_count), WithJsonSchema({"type": "integer", "minimum": 0})]
"""A whole number, zero or more."""

def no_more_than(limit: int) -> AfterValidator:
    """An upper bound of a count: beyond it a simulation would not end in anybody's lifetime."""

    def bounded(value: int) -> int:
        if value > limit:
            raise refused(f"{shown(value)} is too many; write at most {limit}")
        return value

    return AfterValidator(bounded)


PositiveCount = Annotated[
    int,
    BeforeValidator(lambda value: _positive(read_count(value))),
    WithJsonSchema({"type": "integer", "minimum": 1}),
]
"""A whole number, above zero."""

Name = Annotated[str, BeforeValidator(read_name)]
"""A name in a map: what dotted paths are made of."""

Prefix = Annotated[str, BeforeValidator(read_prefix), WithJsonSchema({"type": "string", "pattern": "^/"})]
"""What keys of etcd begin with."""

Factor = Annotated[
    float,
    BeforeValidator(read_factor),
    PlainSerializer(lambda value: f"{plain(value)}x", return_type=str),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": r"^[0-9]+(\.[0-9]*)?\s*x?$"}, {"type": "number"}]}),
]
"""A multiple of something else, above zero."""
