"""A short comparison with a real etcd, where one is installed: what has to be exact is, and nothing stays behind.

    pytest -m slow tests/validation/test_real_etcd.py        (ETCDSIM_ETCD=/path/to/etcd names another one than that in PATH)
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sim.cli import etcdsim, main
from sim.cli.validate import validate
from sim.errors import InputError
from sim.validation.server import find_etcd, version_of


@pytest.fixture(scope="module")
def etcd() -> Path:
    given = os.environ.get("ETCDSIM_ETCD")
    try:
        found = find_etcd(Path(given) if given else None)
        version_of(found)
    except InputError as error:
        pytest.skip(str(error))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("members", ["1", "3"])
def test_bytes_and_counts_are_exact(
    etcd: Path, members: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if "validate" not in etcdsim.commands:
        monkeypatch.setitem(etcdsim.commands, "validate", validate)
    options = ["--for", "2s", "--rounds", "1", "--workloads", "c8-1k,r500-1k,lease", "--members", members]
    assert main(["validate", "--etcd", str(etcd), "--data-dir", str(tmp_path), "--json", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {(row["workload"], row["figure"]): row for row in found["rows"]}
    for workload in ("c8-1k", "r500-1k"):
        assert rows[workload, "etcd.wal_entries"]["error"] == 0
        assert rows[workload, "etcd.keys_live"]["error"] == 0
        assert rows[workload, "etcd.revision"]["error"] == 0
        assert abs(rows[workload, "etcd.wal_entry_bytes"]["error"]) < 0.002
        assert abs(rows[workload, "etcd.db_bytes_in_use"]["error"]) < 0.03
    assert all(load["failed"] == 0 for load in found["workloads"].values())
    assert list(tmp_path.iterdir()) == []
