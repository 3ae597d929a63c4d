"""Units: simulated time is whole nanoseconds, sizes are whole bytes; seconds and text appear at the faces only.

Durations are written as Go writes them (`300ms`, `5m`, `1h30m`; also `d` for days), sizes as Kubernetes does
(`2GiB`, `64MB`, `600B`). A bare number is seconds for a duration and bytes for a size.
"""

from __future__ import annotations

import re
from typing import Final

Nanoseconds = int
Bytes = int

MICROSECOND: Final[Nanoseconds] = 1_000
MILLISECOND: Final[Nanoseconds] = 1_000_000
SECOND: Final[Nanoseconds] = 1_000_000_000
MINUTE: Final[Nanoseconds] = 60 * SECOND
HOUR: Final[Nanoseconds] = 60 * MINUTE
DAY: Final[Nanoseconds] = 24 * HOUR

_DURATION_UNITS: Final[dict[str, Nanoseconds]] = {
    "ns": 1, "us": MICROSECOND, "µs": MICROSECOND, "ms": MILLISECOND, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY,
}  # fmt: skip
_DURATION_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h|d)")
_SIZE_UNITS: Final[dict[str, int]] = {
    "": 1, "B": 1,
    "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip
_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([A-Za-z]*)")

DURATION_FORMS: Final = "300ms, 5m, 1h30m or a number of seconds"
SIZE_FORMS: Final = "600B, 64MB, 2GiB or a number of bytes"


def parse_duration(text: str | int | float) -> Nanoseconds:
    """Nanoseconds of a duration such as `1h30m`; a bare number counts seconds. Raises ValueError for anything else."""
    if isinstance(text, bool):
        raise ValueError(f"{text!r} is not a duration; write {DURATION_FORMS}")
    if isinstance(text, int | float):
        return _whole(text * SECOND, text)
    stripped = text.strip()
    try:
        return _whole(float(stripped) * SECOND, text)
    except ValueError:
        pass
    position, total = 0, 0.0
    for part in _DURATION_PART.finditer(stripped):
        if part.start() != position:
            break
        total += float(part[1]) * _DURATION_UNITS[part[2]]
        position = part.end()
    if position != len(stripped) or not stripped:
        raise ValueError(f'"{text}" is not a duration; write {DURATION_FORMS}')
    return _whole(total, text)


def _whole(value: float, text: object) -> int:
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError(f'"{text}" is not a finite quantity')
    return round(value)


def format_duration(value: Nanoseconds) -> str:
    """The shortest exact text that `parse_duration` reads back: `300ms`, `1h30m`, `0s`."""
    if value == 0:
        return "0s"
    sign, rest = ("-", -value) if value < 0 else ("", value)
    parts = []
    for unit, size in (("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND), ("ms", MILLISECOND), ("us", MICROSECOND), ("ns", 1)):
        if unit == "d" and rest % DAY:
            continue
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return sign + "".join(parts)


def parse_size(text: str | int | float) -> Bytes:
    """Bytes of a size such as `2GiB` (binary) or `64MB` (decimal). Raises ValueError for anything else."""
    if isinstance(text, bool):
        raise ValueError(f"{text!r} is not a size; write {SIZE_FORMS}")
    if isinstance(text, int | float):
        return _whole(text, text)
    match = _SIZE.fullmatch(text.strip())
    if match is None or match[2] not in _SIZE_UNITS:
        raise ValueError(f'"{text}" is not a size; write {SIZE_FORMS}')
    return _whole(float(match[1]) * _SIZE_UNITS[match[2]], text)


def format_size(value: Bytes) -> str:
    """Text that `parse_size` reads back exactly: the largest binary or decimal unit that divides the value."""
    for unit in ("GiB", "MiB", "KiB", "GB", "MB", "kB"):
        if value and value % _SIZE_UNITS[unit] == 0:
            return f"{value // _SIZE_UNITS[unit]}{unit}"
    return f"{value}B"


def seconds(value: Nanoseconds) -> float:
    """Seconds, for the faces: results, plots, messages."""
    return value / SECOND
