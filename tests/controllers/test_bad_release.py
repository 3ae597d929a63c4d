"""A release that brings the leak back: a canary with automatic rollback, the steps alone, and all at once."""

from __future__ import annotations

import pytest

import sim
from sim.errors import InputError
from sim.simulation import run_variant

JUNK = "writers.zero-pod-writer.keys_created"


@pytest.fixture(scope="module")
def runs() -> dict[str, sim.Run]:
    horizons = {"none": "20m", "at-once": "29m", "canary": "25m", "canary-unwatched": "34m"}
    return {name: run_variant(sim.load("bad-release", set={"horizon": horizon}), name) for name, horizon in horizons.items()}


def test_a_watched_canary_leaks_next_to_nothing(runs: dict[str, sim.Run]) -> None:
    junk = {name: run.metrics.get(JUNK) or 0 for name, run in runs.items()}
    assert junk["none"] == 0
    assert junk["canary"] <= 2
    assert junk["at-once"] > 1000
    assert {name: run.metrics["rollout.rolled_back"] for name, run in runs.items()} == {
        "none": 0, "at-once": 1, "canary": 1, "canary-unwatched": 0,
    }  # fmt: skip


def test_only_the_watched_canary_keeps_the_objective(runs: dict[str, sim.Run]) -> None:
    fired = {name: run.metrics["alerts.slo.fired"] for name, run in runs.items()}
    assert (fired["none"], fired["canary"]) == (0, 0)
    assert fired["at-once"] >= 1
    assert fired["canary-unwatched"] >= 1


def test_harm_lasts_until_somebody_notices(runs: dict[str, sim.Run]) -> None:
    """Seventy zero values, one each 15.7 s, are 18.3 minutes; a tenth of the processes would have met the first after 2.6."""
    (undone,) = [one.at_seconds for one in runs["at-once"].incidents if "rolled back" in one.about]
    assert undone - 600 == pytest.approx(18.3 * 60, rel=0.05)
    (back,) = [one.at_seconds for one in runs["canary"].incidents if "rolled back" in one.about]
    assert back - 600 < 10 * 60
    assert runs["canary"].metrics["alerts.harm.firing_seconds"] == 0


def test_a_rollback_of_a_variant_needs_a_declared_objective() -> None:
    with pytest.raises(InputError, match=r"rollouts\.bad\.rollback_on"):
        sim.load("bad-release", set={"objectives": {}})
