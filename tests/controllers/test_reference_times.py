"""Scenarios that use the recorded Go benchmark say what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sim

RECORDED = json.loads((Path(__file__).parents[2] / "data" / "reference" / "go-zero-values.json").read_text())["ns_per_operation"]


@pytest.mark.parametrize(
    ("variant", "recorded"),
    [("deep-measured", "DeepEqualSmall"), ("deep-1kib-measured", "DeepEqual1KiB"), ("direct-measured", "DirectSmall")],
)
def test_comparisons(variant: str, recorded: str) -> None:
    scan = sim.load("detection-cost").variant(variant).controllers["scanner"].reconcile.scan
    assert scan is not None
    assert scan.nanoseconds == RECORDED[recorded]


def test_maps() -> None:
    scenario = sim.load("map-stores")
    locked, published = (scenario.variant(f"{name}-measured").workloads["cache"] for name in ("locked", "published"))
    assert (locked.locked_read_ns, locked.locked_write_ns) == (RECORDED["LockedRead"], RECORDED["LockedWrite"])  # type: ignore[union-attr]
    assert published.read_ns == RECORDED["SnapshotRead"]  # type: ignore[union-attr]
    assert published.entries * published.copy_entry_ns == pytest.approx(RECORDED["Copy/100"], rel=1e-3)  # type: ignore[union-attr]


def test_the_copy_grows_with_the_map_as_the_model_says() -> None:
    """A copy is about linear in the entries: a factor of ten in size within a factor of two of ten in time."""
    for small, large in (("Copy/100", "Copy/1000"), ("Copy/1000", "Copy/10000")):
        assert 5 < RECORDED[large] / RECORDED[small] < 20
