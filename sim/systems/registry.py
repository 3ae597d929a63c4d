"""The systems that come with the package: read, validated, and chosen by id."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from sim import data
from sim.errors import InputError, nearest
from sim.scenario import Scenario
from sim.scenario import load as load_scenario
from sim.scenario.refusal import problems_of, refusal, undeclared
from sim.scenario.yaml12 import read_file
from sim.systems.declared import System


def systems() -> list[System]:
    """All of them, in the order of their ids. Raises InputError for a file that is not one."""
    found: dict[str, System] = {}
    for name in data.names("systems"):
        system = from_dict(read_file(data.file("systems", name), name), name)
        if system.id in found:
            raise InputError(f'systems/{name}.yaml: id: "{system.id}" is there twice')
        found[system.id] = system
    return sorted(found.values(), key=lambda system: _order(system.id))


def from_dict(given: dict[str, Any], called: str) -> System:
    """A system from plain data; `called` names it in messages. Raises InputError."""
    try:
        return System.model_validate(given)
    except ValidationError as error:
        raise refusal(problems_of(error), prefix=f"systems/{called}.yaml: ") from None


def chosen(only: Sequence[str]) -> list[System]:
    """Those of the given ids, all where none is given; `S13` stands for S13a, S13b and so on. Raises InputError."""
    known = systems()
    ids = [system.id for system in known]
    wanted: set[str] = set()
    for text in only:
        matching = [one for one in ids if one.lower() == text.lower()] or [
            one for one in ids if re.fullmatch(rf"{re.escape(text.lower())}[a-z]", one.lower())
        ]
        if not matching:
            hint = nearest(text, ids) or f"; one of {', '.join(ids)}"
            raise InputError(f'--only: "{text}" is not the id of a system{hint}')
        wanted.update(matching)
    return [system for system in known if not only or system.id in wanted]


def scenario(system: System, quick: bool) -> Scenario:
    """What a system simulates, in the quick or in the full form. Raises InputError."""
    changes = {**system.set, **(system.quick.set if quick else {})}
    try:
        made = load_scenario(system.scenario, set=changes)
    except InputError as error:
        raise InputError(f"systems/{system.id}: {error}") from None
    for name in system.variant_names():
        if name not in made.variant_names():
            raise InputError(f"systems/{system.id}: {undeclared(name, 'variant', made.variant_names())}")
    return made


def _order(name: str) -> tuple[str, int, str]:
    """S2 before S10, S13a before S13b, hypotheses behind."""
    parts = re.fullmatch(r"([A-Za-z]+)(\d+)(.*)", name)
    if parts is None:
        return "~", 0, name
    return {"S": "0"}.get(parts[1], parts[1]), int(parts[2]), parts[3]
