"""What the log takes on disk: preallocated segments, one more than is written, and what a purge leaves."""

from __future__ import annotations

import pytest

from sim.etcd import wal
from sim.etcd.wal_files import WalFiles

SEGMENT = 64_000_000


def grown(files: WalFiles, segments: int, entries_each: int) -> list[int]:
    """How many files there are after each segment that is filled."""
    found = []
    for number in range(1, segments + 1):
        files.observe(number * SEGMENT, number * entries_each)
        found.append(files.on_disk // SEGMENT)
    return found


def test_an_idle_member_holds_two_segments() -> None:
    assert WalFiles(SEGMENT, 100_000, 5, 3).on_disk == 128_000_000


def test_a_purge_leaves_five_files_and_the_one_that_is_prepared() -> None:
    assert grown(WalFiles(SEGMENT, 10_000, 5, 3), 8, 50_000) == [3, 4, 5, 6, 6, 6, 6, 6]


def test_what_no_snapshot_has_let_go_of_stays() -> None:
    """With 10,000 entries a segment a snapshot of 100,000 comes after ten of them."""
    assert grown(WalFiles(SEGMENT, 100_000, 5, 3), 12, 10_000) == [3, 4, 5, 6, 7, 8, 9, 10, 11, 6, 6, 6]


def test_without_a_limit_nothing_is_purged() -> None:
    assert grown(WalFiles(SEGMENT, 1_000, 0, 3), 7, 10_000) == [3, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize(("voters", "each"), [(0, 24), (3, 64)])
def test_each_snapshot_writes_a_record(voters: int, each: int) -> None:
    assert wal.snapshot_frame(100_000, voters) == each
    files = WalFiles(SEGMENT, 100_000, 5, voters)
    assert [files.observe(1000, index) for index in (99_999, 100_000, 150_000, 399_999)] == [0, each, 0, 2 * each]
