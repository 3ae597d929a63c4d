"""Random operations on a real etcd's store, replayed on ours, where an etcd is installed; golden traces do the same without one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from etcd.record_store import record

from sim.conform.replay import replay
from sim.errors import InputError
from sim.validation.server import find_etcd

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "etcd.store"


def test_a_fresh_trace_of_the_installed_etcd_is_identical(tmp_path: Path) -> None:
    given = os.environ.get("ETCDSIM_ETCD")
    try:
        etcd = find_etcd(Path(given) if given else None)
    except InputError as error:
        pytest.skip(str(error))
    seed = int.from_bytes(os.urandom(4))
    path = tmp_path / f"seed-{seed}.jsonl"
    path.write_text("".join(f"{line}\n" for line in record(etcd, seed, 1000, tmp_path)))
    assert replay(path) is None, f"seed {seed}"


@pytest.mark.parametrize(("version", "there", "else_where"), [("3.5.1", 1, 16), ("3.5.33", 33, 15)])
def test_releases_differ_in_the_tombstone_at_the_compaction_revision(
    version: str, there: int, else_where: int, tmp_path: Path
) -> None:
    """The traces can tell: replayed as the other kind of release they are not identical."""
    text = (GOLDEN / f"{version}-random.jsonl").read_text()
    assert f'"patch": {there}}}' in text
    other = tmp_path / "other.jsonl"
    other.write_text(text.replace(f'"patch": {there}}}', f'"patch": {else_where}}}', 1))
    difference = replay(other)
    assert difference is not None
    assert difference.field in ("removed", "kvs")
