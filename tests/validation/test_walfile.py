"""Counting what a real member wrote."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sim import data
from sim.validation.walfile import written

HEADS = sorted(data.folder("golden").glob("wal/*-head.wal"))


@pytest.mark.parametrize("head", HEADS, ids=lambda path: path.name)
def test_records_of_a_real_log(head: Path, tmp_path: Path) -> None:
    """The recorded first records of a segment, beside their list."""
    shutil.copy(head, tmp_path / "0000000000000000-0000000000000000.wal")
    found = written(tmp_path)
    lines = [json.loads(line) for line in head.with_name(head.name.replace("-head.wal", ".jsonl")).read_text().splitlines()[1:]]
    count = sum(found.records.values())
    assert count > 50
    assert found.bytes == sum(line["frame"] for line in lines[:count])
    assert found.entries == sum(line["record"] == 2 for line in lines[:count])
    assert found.segments == 1


def test_it_stops_at_the_zeros_and_at_a_frame_that_is_not_whole(tmp_path: Path) -> None:
    frame = (6).to_bytes(7, "little") + b"\x82" + b"\x08\x02\x10\x01\x1a\x00" + b"\0\0"
    assert len(frame) == 16
    (tmp_path / "1.wal").write_bytes(frame * 3 + bytes(100))
    (tmp_path / "2.wal").write_bytes(frame * 2 + frame[:12])
    (tmp_path / "other").write_bytes(frame)
    found = written(tmp_path)
    assert (found.entries, found.bytes, found.segments) == (5, 80, 2)


def test_an_empty_folder_has_nothing(tmp_path: Path) -> None:
    assert written(tmp_path).bytes == 0
