"""A study to recommend from: a scenario, knobs with their ranges, objectives. Read from a file or a call.

about: How fast may this controller's client be?
scenario: hot-loop                     # a name, or a path relative to this file
set: {horizon: 2m}
variant: generation                    # which one is meant, where there are several
over:
  controllers.mine.client.qps: log(2, 200)
  controllers.mine.workers: logint(1, 64)
objectives:                            # bounds have to hold, goals are what to look for within them
  apply:   {figure: etcd.apply_seconds.p99, max: 100ms}
  goodput: {figure: writes.succeeded, goal: high}
trials: 48                             # settings to try
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sim import data
from sim.errors import InputError, nearest
from sim.planning import aims
from sim.planning.aims import Aims
from sim.scenario import Scenario
from sim.scenario import load as load_scenario
from sim.scenario.device import is_path
from sim.scenario.refusal import shown, undeclared, unknown
from sim.scenario.yaml12 import read_file
from sim.sweeps.keys import SAYS_ONLY
from sim.sweeps.values import Space, Values, read

_KEYS: Final = (
    "name", "about", "scenario", "set", "variant", "over", "objectives", "trials", "replications", "most_replications",
    "candidates", "confidence", "seed",
)  # fmt: skip
_NUMBERS: Final = {
    "trials": (1, 100_000), "replications": (1, 1_000), "most_replications": (1, 10_000), "candidates": (1, 100),
    "seed": (0, 2**53),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Study:
    """What to recommend. trials: settings to try; replications: of each; candidates: how many of the best are judged on fresh
    replications, up to `most_replications` of them, at `confidence` together."""

    name: str
    scenario: Scenario
    variant: str
    knobs: dict[str, Space]
    aims: Aims
    trials: int = 48
    replications: int = 3
    most_replications: int = 20
    candidates: int = 4
    confidence: float = 0.95
    seed: int = 1


def load(given: str, changes: Mapping[str, Any] | None = None, **options: Any) -> Study:
    """The study of that name, or in that file; options that are not None win over it. Raises InputError."""
    path = Path(given) if is_path(given) else data.file("studies", given)
    if not is_path(given) and given not in data.names("studies"):
        hint = nearest(given, data.names("studies")) or f"; there are {', '.join(data.names('studies'))}"
        raise InputError(f"study: {shown(given)} is unknown{hint}")
    raw = read_file(path, given)
    for key in raw:
        if key not in _KEYS:
            raise InputError(f"{given}: {key}: {unknown(key, _KEYS)}")
    name = raw.get("scenario")
    if not isinstance(name, str):
        raise InputError(f"{given}: scenario: missing; name a scenario or a path to its file")
    values = raw.get("set") or {}
    if not isinstance(values, Mapping):
        raise InputError(f"{given}: set: {shown(values)} is not a mapping of paths to values")
    scenario = load_scenario(str(path.parent / name) if is_path(name) else name, set={**values, **(changes or {})})
    told = {key: raw[key] for key in ("variant", *_NUMBERS, "confidence") if raw.get(key) is not None}
    told |= {key: value for key, value in options.items() if value is not None}
    return study(str(raw.get("name") or path.stem), scenario, raw.get("over"), raw.get("objectives"), **told)


def study(name: str, scenario: Scenario, over: Any, objectives: Any, variant: str | None = None, **options: Any) -> Study:
    """A checked study from plain values; objectives: as a study writes them, the scenario's own where None. Raises InputError."""
    if not isinstance(over, Mapping) or not over:
        raise InputError(
            f"over: {shown(over)} gives nothing to choose; write knobs and ranges, such as {{etcd.quota: [2GiB, 8GiB]}}"
        )
    chosen = variant_of(scenario, variant)
    aim = aims.of_scenario(scenario, chosen) if objectives is None else aims.of_mapping(objectives)
    if not aim.requirements and not aim.wishes:
        example = "objectives: {apply: {figure: etcd.apply_seconds.p99, max: 100ms}}"
        raise InputError(f"objectives: missing; say what is wanted, such as {example}")
    knobs = {str(path): read(given, str(path)) for path, given in over.items()}
    for path, space in knobs.items():
        check_knob(scenario, chosen, path, space)
    for key, (low, high) in _NUMBERS.items():
        value = options.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high):
            raise InputError(f"{key}: {shown(value)} is not allowed; a whole number from {low} to {high:,}")
    if "confidence" in options:
        options["confidence"] = _share(options["confidence"])
    made = Study(name, scenario, chosen, knobs, aim, **options)
    if made.replications > made.most_replications:
        raise InputError(f"replications: {shown(made.replications)} are more than most_replications, {made.most_replications}")
    return made


def check_knob(scenario: Scenario, variant: str, path: str, space: Space) -> None:
    """Raises InputError where a knob is none, has one value only, or neither of its ends can be simulated."""
    if path.split(".")[0] in SAYS_ONLY:
        raise InputError(f"{path}: decides nothing of what is simulated; vary another field")
    if isinstance(space, Values) and len(space.values) < 2:
        raise InputError(
            f"{path}: {shown(space.values[0])} alone leaves nothing to choose; give two values, or a range such as log(1, 100)"
        )
    problems = [found for share in (0.0, 1.0) if (found := problem_of(scenario, variant, {path: space.at(share)}))]
    if problems:
        raise InputError(problems[0])


def variant_of(scenario: Scenario, variant: str | None) -> str:
    """The variant that is meant: the one that is named, or the only one there is. Raises InputError."""
    names = scenario.variant_names()
    if variant is None:
        if len(names) > 1:
            raise InputError(f"variant: {scenario.name} has {', '.join(names)}; say which one is meant, such as {names[-1]}")
        return names[0]
    if variant not in names:
        raise InputError(f"variant: {undeclared(str(variant), 'variant', names)}")
    return variant


def problem_of(scenario: Scenario, variant: str, values: Mapping[str, Any]) -> str:
    """Why a setting cannot be simulated; empty where it can."""
    try:
        changed = scenario.with_(values)
        _ = changed.variant(variant) if changed.variants else changed
    except InputError as error:
        return str(error)
    return ""


def _share(value: Any) -> float:
    text = str(value).strip()
    try:
        found = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        found = float("nan")
    if not 0 < found < 1:
        raise InputError(f"confidence: {shown(value)} is not a share between 0 and 1, such as 95%")
    return found
