"""Runs that several tests look at, each simulated once a session."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest

import sim

Simulated = Callable[..., sim.Run]
_runs: dict[str, sim.Run] = {}


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: the collection before each run need not look at it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def leak() -> Simulated:
    """`leak(variant, {path: value})`: the leak with ten times the churn in 2.4 h, simulated once for each setting."""

    def simulated(variant: str = "leaking", change: dict[str, Any] | None = None, seed: int = 1) -> sim.Run:
        name = repr((variant, sorted((change or {}).items()), seed))
        if name not in _runs:
            scenario = sim.load("zero-value-leak-small").with_(change or {})
            _runs[name] = sim.run(scenario, variants=[variant], workers=1, seed=seed)[variant]
        return _runs[name]

    return simulated
