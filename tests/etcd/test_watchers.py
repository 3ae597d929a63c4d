"""Watchers at etcd: what they take of each apply."""

from __future__ import annotations

import pytest

from sim.scenario.model import from_dict
from sim.simulation import run_variant


def execution(watchers: int) -> float:
    """Mean of the executions of an apply, seconds; without commits that it may wait for."""
    scenario = from_dict(
        {
            "horizon": "2s",
            "etcd": {
                "members": {"a": {"disk": {"fdatasync": "100us"}}}, "compaction": {"by": "never"}, "batch_interval": "1m",
                "costs": {"watch_event": "3us"},
            },
            "apiservers": {},
            "clients": {"writers": {"clients": 1, "watchers": watchers}},
        }
    )  # fmt: skip
    return run_variant(scenario, "default").distributions["etcd.apply_execution_seconds"].mean


def test_each_watcher_takes_its_part_of_every_apply() -> None:
    """The fan-out is part of the apply: 100 watchers at 3 us each make it 300 us longer."""
    assert execution(100) - execution(0) == pytest.approx(300e-6, rel=0.02)
