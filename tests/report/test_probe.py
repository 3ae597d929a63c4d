"""The disk probe: bounded, gone afterwards, and its profile is one that a scenario takes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from sim.errors import InputError
from sim.hardware import probe as module
from sim.hardware.probe import QUANTILES, looks_like_memory, probe, to_yaml
from sim.scenario import load_profile
from sim.units import parse_duration


def test_a_scenario_takes_the_profile(tmp_path: Path) -> None:
    profile = probe(tmp_path, samples=40, size=2048, seconds=5)
    (tmp_path / "my-disk.yaml").write_text(to_yaml(profile))
    read = load_profile(tmp_path / "my-disk.yaml")
    points = read.fdatasync.quantiles  # type: ignore[union-attr]
    assert len(points) == len(QUANTILES)
    assert list(points.values()) == sorted(points.values())
    assert points[0] > 0
    assert read.bandwidth > 0
    assert "40 writes of 2048 bytes" in read.about


def test_nothing_stays(tmp_path: Path) -> None:
    probe(tmp_path, samples=20)
    assert list(tmp_path.iterdir()) == []


def test_nothing_stays_of_an_interrupted_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(100))

    def interrupted(descriptor: int) -> None:
        if next(calls) == 10:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "_make_durable", interrupted)
    with pytest.raises(KeyboardInterrupt):
        probe(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_time_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that needs 20 ms a call is left after the time given, with what was measured by then."""
    monkeypatch.setattr(module, "_make_durable", lambda _: time.sleep(0.02))
    began = time.monotonic()
    profile = probe(tmp_path, samples=10_000, seconds=0.3)
    assert time.monotonic() - began < 20  # bounded: without the bound it would be minutes
    assert parse_duration(profile["fdatasync"]["quantiles"][0]) >= 20_000_000


def test_bytes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[int] = []

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        ends.append(offset + len(data))
        return len(data)

    monkeypatch.setattr(os, "pwrite", pwrite)
    monkeypatch.setattr(module, "_make_durable", lambda _: None)
    probe(tmp_path, samples=200, size=2**20)
    assert max(ends) <= 32 * 2**20


def test_the_quantiles_are_those_of_the_measured_times() -> None:
    samples = np.arange(1, 1001, dtype=np.int64) * 1000
    found = module._profile(samples, 200e6, 2048)
    quantiles = found["fdatasync"]["quantiles"]
    assert (quantiles[0], quantiles[0.5], quantiles[0.99], quantiles[1]) == ("1us", "500.5us", "990us", "1ms")
    assert found["bandwidth"] == "200MB/s"


def test_a_measurement_of_memory_is_recognised() -> None:
    fast, slow = (module._profile(np.full(30, value, dtype=np.int64), 1e9, 2048) for value in (900, 118_000))
    assert looks_like_memory(fast)
    assert not looks_like_memory(slow)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [({"samples": 5}, "at least 20"), ({"size": 0}, "size: 0"), ({"size": 2**30}, "size:"), ({"seconds": 0}, "seconds: 0")],
)
def test_senseless_bounds_are_refused(tmp_path: Path, arguments: dict[str, int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        probe(tmp_path, **arguments)


def test_a_directory_that_cannot_be_used_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="is not a directory"):
        probe(tmp_path / "nothing")

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module.tempfile, "TemporaryFile", refuse)
    with pytest.raises(InputError, match="is not writable: Permission denied"):
        probe(tmp_path)
