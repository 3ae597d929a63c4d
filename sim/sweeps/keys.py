"""What a run is known by: the hash of what is simulated, the seed, and the model that simulates it.

What a scenario says about itself (its name, where values are from, objectives) decides nothing and is left out, so that
rewording a scenario repeats no run. The model's version is the release and a digest of what decides the bytes of a run:
the source of the model's rooms, the device profiles, and the numeric packages. In a checkout the release alone would lie.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import sim
from sim import data
from sim.result import installed_version
from sim.scenario import Scenario, to_dict

SAYS_ONLY: Final = ("name", "about", "extends", "variants", "objectives", "provenance", "reference", "notes")
"""Sections of a scenario that decide nothing of what is simulated."""
_NOT_THE_MODEL: Final = (
    "cli", "report", "sweeps", "planning", "analysis", "calibration", "validation", "conform", "data", "systems",
    "diagnosis",
)  # fmt: skip
_PACKAGES: Final = ("numpy", "scipy", "simpy")


def run_key(scenario: Scenario, seed: int, model: str) -> str:
    """The key of one run of a scenario without variants."""
    return key_of(digest(simulated(scenario)), seed, model)


def key_of(scenario: str, seed: int, model: str) -> str:
    """The key of one run of a scenario that is known by the digest of what it simulates."""
    return digest({"scenario": scenario, "seed": seed, "model": model})


def simulated(scenario: Scenario) -> dict[str, Any]:
    """The part of a resolved scenario that decides what is simulated; an objective does where a rollout is undone by it."""
    data = to_dict(scenario)
    found = {section: value for section, value in data.items() if section not in SAYS_ONLY}
    undoing = sorted({rollout.rollback_on for rollout in scenario.rollouts.values() if rollout.rollback_on is not None})
    return {**found, "objectives": {name: data["objectives"][name] for name in undoing}} if undoing else found


def digest(value: Any) -> str:
    """The hash of plain data; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


@cache
def model_version() -> str:
    """Release and digest of the installed model, such as `0.1.0+3f2a91c04d17`."""
    made = hashlib.sha256()
    home = Path(sim.__file__).resolve().parent
    for path in sorted(home.rglob("*.py")):
        inside = path.relative_to(home)
        if inside.parts[0] not in _NOT_THE_MODEL:
            made.update(f"\n{inside.as_posix()}\n".encode() + path.read_bytes())
    for name in data.names("devices"):
        made.update(f"\n{name}\n".encode() + data.file("devices", name).read_bytes())
    made.update(" ".join(f"{package} {_installed(package)}" for package in _PACKAGES).encode())
    return f"{installed_version()}+{made.hexdigest()[:12]}"


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
