"""What a knob is given: values one by one, or a range of numbers.

    1,5,20,50             these values, each read as YAML; a list in a study
    log(1, 100, 5)        five values from 1 to 100, evenly spaced in the logarithm (also written logspace)
    linear(10ms, 50ms, 5) evenly spaced (also linspace); both ends may carry the same unit
    int(1, 50), logint(1, 50)   whole numbers; without a count a range is for sampling only

Computed numbers are rounded to six significant digits, so that they read well and are the same everywhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from sim.errors import InputError, nearest
from sim.scenario.refusal import shown
from sim.scenario.yaml12 import read_text

FORMS: Final = "values such as 1,5,20, or log(1, 100, 5), linear, int, logint; without a count for lhs and sobol"
_ALIASES: Final = {"linspace": "linear", "logspace": "log", "intspace": "int"}
_KINDS: Final = ("linear", "log", "int", "logint")
_CALL: Final = re.compile(r"\s*([A-Za-z]+)\s*\(([^()]*)\)\s*")
_NUMBER: Final = re.compile(r"([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*([A-Za-zµ%/]*)")
_MOST: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Values:
    """Values one by one; sampling takes each of them equally often."""

    values: tuple[Any, ...]

    def at(self, share: float) -> Any:
        """The value at a share from 0 to 1 of the way through."""
        return self.values[min(int(share * len(self.values)), len(self.values) - 1)]


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from low to high. kind: linear, log, int or logint; unit: what both ends carried; text: as it was written."""

    kind: str
    low: float
    high: float
    unit: str
    text: str

    def at(self, share: float) -> Any:
        """The number at a share from 0 to 1 of the way, in the range's own scale."""
        if self.kind == "int":
            return self._written(min(math.floor(self.low + share * (self.high - self.low + 1)), self.high))
        if self.kind == "logint":
            return self._written(min(max(round(self._log(share)), self.low), self.high))
        return self._written(self._log(share) if self.kind == "log" else self.low + share * (self.high - self.low))

    def spread(self, count: int) -> Values:
        """So many values, both ends among them, without repetition."""
        shares = [at / (count - 1) for at in range(count)]
        if self.kind == "int":
            found = [self._written(round(self.low + share * (self.high - self.low))) for share in shares]
        else:
            found = [self.at(share) for share in shares]
        return Values(tuple(dict.fromkeys(found)))

    def _log(self, share: float) -> float:
        return math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))

    def _written(self, value: float) -> Any:
        rounded = Decimal(f"{value:.6g}") if self.kind in ("linear", "log") else Decimal(round(value))
        if self.unit:
            return f"{rounded.normalize():f}{self.unit}"
        return int(rounded) if rounded == rounded.to_integral_value() else float(rounded)


Space = Values | Range


def read(given: Any, path: str) -> Space:
    """The space that a study, a command line or a caller gave the knob at `path`. Raises InputError."""
    if isinstance(given, str):
        return _called(given, path) or _listed(_sequence(given, path), path)
    if isinstance(given, Mapping):
        return Values((dict(given),))
    if isinstance(given, Iterable):
        return _listed(list(given), path)
    return _listed([given], path)


def plain(value: Any) -> Any:
    """A value without numpy's types, whole numbers as such."""
    value = value.item() if hasattr(value, "item") else value
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _sequence(text: str, path: str) -> list[Any]:
    found = read_text(f"[{text}]", path)
    return found if isinstance(found, list) else [found]


def _listed(values: list[Any], path: str) -> Values:
    if not values:
        raise InputError(f"{path}: an empty range; write {FORMS}")
    return Values(tuple(plain(value) for value in values))


def _called(text: str, path: str) -> Space | None:
    """`log(1, 100, 5)` as values, without its count as a range; None for what is no such call."""
    call = _CALL.fullmatch(text)
    if call is None:
        return None
    kind = _ALIASES.get(call[1], call[1])
    if kind not in _KINDS:
        if hint := nearest(call[1], (*_KINDS, *_ALIASES)):
            raise InputError(f"{path}: {shown(text)} is not a range{hint}")
        return None  # a value of the scenario's own, such as exp(10s)
    given = [part.strip() for part in call[2].split(",")]
    if len(given) not in (2, 3) or (len(given) == 2 and call[1] in _ALIASES):
        raise InputError(f"{path}: {shown(text)} is not a range; write {call[1]}(low, high, count), such as {call[1]}(1, 100, 5)")
    found = _range(kind, given[0], given[1], text, path)
    return found.spread(_count(given[2], text, path)) if len(given) == 3 else found


def _range(kind: str, low: str, high: str, text: str, path: str) -> Range:
    ends = [_NUMBER.fullmatch(end) for end in (low, high)]
    try:
        (start, unit), (stop, other) = [(float(end[1]), end[2]) for end in ends if end is not None]
    except ValueError:
        raise InputError(f"{path}: {shown(text)} is not a range; both ends have to be numbers, which may carry a unit") from None
    if unit != other:
        raise InputError(f'{path}: {shown(text)} mixes the units "{unit}" and "{other}"; write both ends in one')
    if not start < stop:
        raise InputError(f"{path}: {shown(text)} is an empty range; its low end has to be below its high end")
    if kind in ("log", "logint") and start <= 0:
        raise InputError(f"{path}: {shown(text)} has no logarithm at its low end; it has to be above 0")
    if kind in ("int", "logint") and (start % 1 or stop % 1):
        raise InputError(f"{path}: {shown(text)} is not a range of whole numbers; both ends have to be whole")
    return Range(kind, start, stop, unit, text.strip())


def _count(given: str, text: str, path: str) -> int:
    if not given.isdecimal() or not 2 <= int(given) <= _MOST:
        raise InputError(f"{path}: {shown(text)} gives {shown(given)} values; the count is a whole number from 2 on")
    return int(given)
