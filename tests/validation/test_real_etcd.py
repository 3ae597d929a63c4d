"""Comparisons with a real etcd, where one is installed: what has to be exact is, and nothing stays behind.

The short one belongs to every run of the tests (some ten seconds); the whole command with three members:

    pytest -m slow tests/validation/test_real_etcd.py        (ETCDSIM_ETCD=/path/to/etcd names another one than that in PATH)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from validation.test_compare import inputs

from sim.cli import main
from sim.errors import InputError
from sim.scenario.load_test import LoadTest
from sim.validation.measure import Measured, measure
from sim.validation.measurement import flags
from sim.validation.predict import Predicted, predict
from sim.validation.server import Cluster, find_etcd, version_of


@pytest.fixture(scope="module")
def etcd() -> Path:
    given = os.environ.get("ETCDSIM_ETCD")
    try:
        found = find_etcd(Path(given) if given else None)
        version_of(found)
    except InputError as error:
        pytest.skip(str(error))
    return found


def both(etcd: Path, place: Path, seed: int = 1, **fields: Any) -> tuple[Measured, Predicted]:
    """A load on the real etcd, and simulated."""
    load = LoadTest.model_validate({"name": "w", "warmup_seconds": 0.2, **fields})
    with Cluster(etcd, load.members, place, flags=flags(load)) as cluster:
        real = measure(cluster, load, seed, place)
    return real, predict(version_of(etcd), load, inputs(), seed, real.requests, {})


def test_a_mix_of_everything_does_the_same_to_the_store(etcd: Path, tmp_path: Path) -> None:
    """Open loop: the same requests at the same times; only what races does not end the same way."""
    mix = {"put_new": 3, "put_over": 2, "delete": 2, "get": 1, "get_serializable": 1, "list": 1}
    real, said = both(
        etcd, tmp_path, seed=3, rate=300, op="mix", mix=mix, key_space=50, preload=30, compact_every_seconds=0.8, seconds=2,
        value_bytes=300, connections=1,
    )  # fmt: skip
    assert not real.failures
    assert real.requests == len(said.records) > 400
    for figure in ("etcd.wal_entries", "etcd.revision", "etcd.keys_live"):
        assert said.figures[figure] == real.figures[figure], figure
    for figure, within in (("etcd.wal_entry_bytes", 0.005), ("etcd.db_bytes_in_use", 0.35)):  # some 30 pages: one is 3%
        assert said.figures[figure] == pytest.approx(real.figures[figure], rel=within), figure
    assert real.log["deleted"] > 50
    assert [one["failed"] for one in real.log["compactions"]] == ["", ""]
    assert list(tmp_path.iterdir()) == []


def test_the_log_and_the_file_of_a_closed_loop(etcd: Path, tmp_path: Path) -> None:
    real, said = both(etcd, tmp_path, clients=8, connections=2, seconds=1.5, value_bytes=1024)
    for figure in ("etcd.wal_entries", "etcd.revision", "etcd.keys_live"):
        assert said.figures[figure] == real.figures[figure], figure
    for figure, within in (
        ("etcd.wal_entry_bytes", 0.001), ("etcd.wal_bytes_written", 0.035), ("etcd.db_bytes_in_use", 0.03),
        ("etcd.db_bytes_total", 0.15),
    ):  # fmt: skip
        assert said.figures[figure] == pytest.approx(real.figures[figure], rel=within), figure


@pytest.mark.slow
def test_leases_quota_and_a_paused_leader(etcd: Path, tmp_path: Path) -> None:
    real, said = both(etcd, tmp_path, rate=50, lease_count=200, lease_ttl=2, seconds=6)
    assert said.figures["etcd.wal_entries"] == real.figures["etcd.wal_entries"]
    assert said.figures["etcd.leases_gone_after_seconds"] == pytest.approx(real.figures["etcd.leases_gone_after_seconds"], abs=0.6)
    real, said = both(etcd, tmp_path, clients=4, connections=2, value_bytes=3000, quota_bytes=16_777_216, seconds=6)
    assert set(said.records.failures) == set(real.failures)
    assert said.figures["etcd.keys_live"] == pytest.approx(real.figures["etcd.keys_live"], rel=0.15)
    steps = {step["step"]: bool(step["failed"]) for step in real.log["quota"]}
    assert steps["put"]
    assert steps["put_after_defragment"]
    assert not steps["put_after_disarm"]
    pause = {"who": "leader", "at_seconds": 1, "for_seconds": 2}
    real, _ = both(etcd, tmp_path, members=3, rate=50, target="all", connections=3, seconds=6, pause=pause)
    assert real.figures["etcd.leader_changes"]
    assert 1.0 < (real.figures["etcd.longest_gap_seconds"] or 0) < 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_command(etcd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m3.json"
    path.write_text(json.dumps({"members": 3, "rate": 300, "value_bytes": 1024, "seconds": 2, "warmup_seconds": 0.5}))
    data = tmp_path / "data"
    data.mkdir()
    options = ["--workload", str(path), "--workload", "c8-256b", "--seconds", "2s", "--rounds", "1", "--data-dir", str(data)]
    assert main(["validate", "--etcd", str(etcd), "--json", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {(row["workload"], row["figure"]): row for row in found["rows"]}
    for name in ("m3", "c8-256b"):
        for figure in ("etcd.wal_entries", "etcd.keys_live", "etcd.revision"):
            assert rows[name, figure]["error"] == 0
        assert abs(rows[name, "etcd.wal_entry_bytes"]["error"]) < 0.002
        assert abs(rows[name, "etcd.db_bytes_in_use"]["error"]) < 0.03
    assert set(found["fits"]) == {"1", "3"}
    assert list(data.iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_leaves_no_process(etcd: Path, tmp_path: Path) -> None:
    before = _etcds(etcd)
    program = [sys.executable, "-c", "import sys; from sim.cli import main; sys.exit(main())"]
    command = [*program, "validate", "--etcd", str(etcd), "--rounds", "1", "--data-dir", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + 60
    while _etcds(etcd) <= before and time.monotonic() < limit:
        time.sleep(0.2)
    assert _etcds(etcd) > before
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "nothing was kept" in said
    assert _etcds(etcd) <= before
    assert list(tmp_path.iterdir()) == []


def _etcds(etcd: Path) -> set[int]:
    """Processes that run this binary for a validation."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0] == str(etcd).encode() and any(b"etcdsim-validate-" in word for word in words):
            found.add(int(entry.parent.name))
    return found
