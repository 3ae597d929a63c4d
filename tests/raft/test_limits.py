"""What one message, one follower's window and one Ready hold, by answers that follow from constant times."""

from __future__ import annotations

import math

import pytest

from sim.etcd import wal
from sim.etcd.backend import Backend
from sim.etcd.bbolt import Pages
from sim.etcd.follower import Follower, TroubledFollower
from sim.etcd.member import Member
from sim.etcd.mvcc import Mvcc
from sim.etcd.request import Op, Shape
from sim.etcd.rules import BackendCosts, BackendRules
from sim.etcd.wal_files import WalFiles
from sim.hardware.disk import Disk, Stalls
from sim.hardware.route import Route
from sim.processes.events import Call, Clock
from sim.processes.leader import Leader
from sim.processes.leader_rules import LeaderRules
from sim.units import MILLISECOND, Nanoseconds

KIB = 1024


def disk(save: Nanoseconds) -> Disk:
    return Disk(lambda: save, math.inf, Stalls())


def follower(kind: type[Follower] = Follower) -> Follower:
    """An acknowledgement comes 4 ms after what is sent to an idle one: 1 ms there, a save of 2, 1 back. Segments never end."""
    there, back = (Route(lambda: MILLISECOND, lambda: MILLISECOND) for _ in range(2))
    log = disk(2 * MILLISECOND)
    return kind(Member("b", True, log, log, lambda: 0, None, wal.Segments(2**60), WalFiles(wal.SEGMENT, 10**5, 5, 3)), there, back)


@pytest.mark.parametrize("kind", [Follower, TroubledFollower])
@pytest.mark.parametrize(
    ("entries", "each", "acknowledged"),
    [
        (512, KIB, 4),
        (513, KIB, 8),  # one waits for room
        (512 + 600, 300 * KIB, 8),  # 3 a message: 200 messages
        (512 + 600, 600 * KIB, 12),  # one a message, as two are more than 1 MiB: 512, and 88 after those
        (512 + 512, 2048 * KIB, 8),  # larger than a message may be: one goes nevertheless
        (512 + 1536, 341 * KIB, 8),  # 3 a message: 512 messages
        (512 + 1537, 341 * KIB, 12),
    ],
)
def test_a_follower_has_512_messages_of_1_mib_under_way(
    kind: type[Follower], entries: int, each: int, acknowledged: int
) -> None:
    assert follower(kind).append(0, entries * each, entries) == acknowledged * MILLISECOND


def test_what_comes_behind_what_waits_waits_too_and_goes_with_it() -> None:
    behind = follower()
    assert behind.append(0, 513 * KIB, 513) == 8 * MILLISECOND
    assert behind.append(MILLISECOND, KIB, 1) == 8 * MILLISECOND
    assert behind.append(2 * MILLISECOND, 510 * KIB, 510) == 8 * MILLISECOND  # the message that waits has room for 1023 KiB
    assert behind.append(3 * MILLISECOND, 513 * 1024 * KIB, 513) == 12 * MILLISECOND  # 511 of these have, and 2 go later


def test_room_comes_back_with_acknowledgements() -> None:
    once_full = follower()
    assert once_full.append(0, 512 * KIB, 512) == 4 * MILLISECOND
    assert once_full.append(4 * MILLISECOND, 512 * KIB, 512) == 8 * MILLISECOND
    assert once_full.append(5 * MILLISECOND, KIB, 1) == 12 * MILLISECOND  # at 8 ms
    assert once_full.append(12 * MILLISECOND, 512 * KIB, 512) == 16 * MILLISECOND


def test_no_byte_is_lost_on_the_way() -> None:
    sizes = [(512 * KIB + 7, 512), (99 * KIB + 5, 10), (700 * KIB + 3, 700)]
    whole = follower()
    for at, (size, entries) in enumerate(sizes):
        whole.append(at * 5 * MILLISECOND, size, entries)
    heads = 40 * 4  # a state record with each part: the last batch goes in two
    assert whole.member.log.written == sum(size for size, _ in sizes) + heads


def handed(values: list[int], ready: Nanoseconds = 10_000) -> tuple[list[Nanoseconds], Leader]:
    """When values that come in one instant, behind a first small one, are handed over; a save takes 1 ms."""
    shapes = [Shape(f"object-{size}", 20, size) for size in (10, *values)]
    pages = Pages()
    rules = BackendRules(batch_interval=10**18, batch_limit=10**12, snapshot_count=10**12)
    backend = Backend(Mvcc(pages), pages, disk(0), lambda: 0, BackendCosts(0, 0, 0, 0, 0), rules, shapes, 1)
    clock = Clock()
    leader = Leader(
        clock, disk(MILLISECOND), [], backend, LeaderRules(quota=None, ready=ready), 1, lambda entry: None,
        lambda at, kind, about: None,
    )  # fmt: skip
    calls = []
    for shape in shapes:
        call = Call(clock, leader.propose, 0)
        call.op, call.shape, call.data = Op.PUT_ONCE, shape, shape.put_data
        calls.append(call.send(0, 0))
    clock.run()
    return [call.handed for call in calls[1:]], leader


SECOND_SAVE = 2 * (MILLISECOND + 10_000)
"""The end of the save with all values but the first."""


@pytest.mark.parametrize(
    ("values", "turns"),
    [
        ([100] * 400, [0] * 400),
        ([400 * KIB] * 5, [0, 0, 1, 1, 2]),
        ([600 * KIB, 600 * KIB, 10, 10], [0, 1, 1, 1]),
        ([1400 * KIB, 10], [0, 1]),
        ([512 * KIB - 100, 512 * KIB - 100, 200], [0, 0, 1]),
    ],
)
def test_a_ready_hands_over_1_mib(values: list[int], turns: list[int]) -> None:
    times, leader = handed(values)
    assert times == [SECOND_SAVE + turn * 10_000 for turn in turns]
    frames = (wal.entry_frame(Shape("", 20, size).put_data, index) for index, size in enumerate((10, *values), 1))
    assert leader.log.written == sum(frames) + 2 * wal.HARD_STATE_FRAME  # a record a commit, however many turns hand it over


def test_a_limit_is_one_of_bytes_to_the_byte() -> None:
    """Two entries that fill 1 MiB exactly go together, one byte more and they do not."""
    def size(value: int) -> int:
        return wal.entry(Shape("", 20, value).put_data, 3)

    value = next(value for value in range(512 * KIB - 100, 512 * KIB) if size(value) == 512 * KIB)
    together, _ = handed([value, value])
    apart, _ = handed([value, value + 1])
    assert together == [SECOND_SAVE] * 2
    assert apart == [SECOND_SAVE, SECOND_SAVE + 10_000]
