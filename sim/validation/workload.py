"""What is sent to etcd: the one description that the real run and the simulated one read.

`Requests` is the sequence of a load: which kind comes next, and for which key. Both sides draw from it in the order of sending,
so the n-th request is the same on both. A key is a family and a number: `new` ones are put once, the others again and again.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from sim import data
from sim.errors import InputError, nearest
from sim.scenario.device import is_path
from sim.scenario.files import load
from sim.scenario.load_test import LoadTest
from sim.scenario.quantities import read_name
from sim.scenario.refusal import problems_of, refusal
from sim.scenario.yaml12 import read_file
from sim.units import SECOND, Nanoseconds

PREFIX, AFTER_PREFIX = b"/lab/", b"/lab0"
"""All keys of a load, but those of its leases."""
LEASED, AFTER_LEASED = b"/lease/", b"/lease0"
FIRST_LEASE: Final = 10**6
AT_ONCE: Final = 64
"""So many grants, then so many puts, at a time."""
PRELOADED_AT_ONCE: Final = 100
SUITES: Final = ("quick", "full")
_SHORT: Final = 6
"""Bytes of a key before its number."""


class Request(NamedTuple):
    """kind: as in `mix`; key: its number; new: of the family that is written once."""

    kind: str
    key: int
    new: bool


class Requests(Iterator[Request]):
    """The sequence of one of `of` generators."""

    def __init__(self, load: LoadTest, seed: int, index: int = 0, of: int = 1):
        self._draw = random.Random(seed * 1000 + index).random
        shares = load.shares
        self._kinds, self._bounds, total = list(shares), [], 0.0
        for share in shares.values():
            total += share
            self._bounds.append(total)
        self._keeps = "put_new" in shares and "delete" in shares
        self._new: deque[int] = deque()
        self._next, self._of, self._space = index, of, load.key_space

    def __next__(self) -> Request:
        kinds = self._kinds
        kind = kinds[0]
        if len(kinds) > 1:
            kind = kinds[min(bisect_right(self._bounds, self._draw() * self._bounds[-1]), len(kinds) - 1)]
        if kind == "put_new":
            number = self._next
            self._next += self._of
            if self._keeps:
                self._new.append(number)
            return Request(kind, number, True)
        if kind == "delete" and self._new:
            return Request(kind, self._new.popleft(), True)
        if kind == "list":
            return Request(kind, 0, False)
        return Request(kind, int(self._draw() * self._space), False)


def new_key(load: LoadTest, number: int) -> bytes:
    """A key that is put once."""
    return b"/lab/n%0*d" % (load.key_bytes - _SHORT, number)


def old_key(load: LoadTest, number: int) -> bytes:
    """One of the `key_space` keys."""
    return b"/lab/k%0*d" % (load.key_bytes - _SHORT, number)


def leased_key(number: int) -> bytes:
    """The key put under a lease; lease and key count from 1."""
    return LEASED + b"%08d" % number


def arrivals(load: LoadTest, seed: int, index: int = 0, of: int = 1) -> list[Nanoseconds]:
    """When one of `of` generators of an open loop sends: a Poisson process; nanoseconds after the start."""
    if load.rate is None:
        return []
    draw, times, at = random.Random(f"{seed} {index} arrivals"), [], 0.0
    while (at := at + draw.expovariate(load.rate / of)) < load.seconds:
        times.append(round(at * SECOND))
    return times


def suite(name: str) -> dict[str, LoadTest]:
    """The loads of a suite that comes with the package: `probe`, `quick` or `full`."""
    return _section(read_file(data.folder("validation") / f"{name}.yaml", name)["validate"], name)


def read_loads(called: str) -> dict[str, LoadTest]:
    """Loads by name: a file with one, a file or scenario with a `validate` section, or one of a suite by its name.

    Raises InputError.
    """
    if not is_path(called):
        known = {name: load for suite_name in SUITES for name, load in suite(suite_name).items()}
        if called not in known:
            raise InputError(f'"{called}" is not a workload of a suite{nearest(called, known) or ""}, or a path to a file')
        return {called: known[called]}
    path = Path(called).expanduser()
    raw = read_file(path, called)
    if "validate" not in raw:
        found = _one(raw, path.stem, called)
        return {found.name: found}
    if set(raw) <= {"about", "validate"}:
        return _section(raw["validate"], called)
    scenario = load(called)
    return {name: one if one.name else one.model_copy(update={"name": name}) for name, one in scenario.validation.items()}


def _section(section: Any, called: str) -> dict[str, LoadTest]:
    if not isinstance(section, Mapping) or not section:
        raise InputError(f"{called}: validate: is not a mapping of names to loads")
    return {str(name): _one(raw, str(name), f"{called}: validate.{name}") for name, raw in section.items()}


def _one(raw: Any, name: str, called: str) -> LoadTest:
    try:
        read_name(name)
        found = LoadTest.model_validate(raw)
        read_name(found.name or name)
    except ValidationError as error:
        raise refusal(problems_of(error), f"{called}: ") from None
    except Exception as error:
        raise InputError(f"{called}: name: {error}") from None
    return found if found.name else found.model_copy(update={"name": name})
