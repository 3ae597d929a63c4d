"""etcd's watchers as a mechanism: channels, victims, rounds for those that are behind."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest

from sim.etcd.request import Shape
from sim.etcd.watch_groups import Group
from sim.etcd.watch_stream import Client, Heard, WatchStream
from sim.etcd.watchers import Watchers, WatchRules
from sim.hardware.disk import NEVER
from sim.units import MILLISECOND, SECOND

RULES = WatchRules(scan=1_000, match=10)
CLIENT = Client(send=10_000, further=1_000, window=100)


class Store:
    """Watchers of one kind of objects, and who writes these: each write is applied at its time, or when a round has ended."""

    def __init__(self, rules: WatchRules = RULES, existing: int = 0):
        self.watchers, self.shape = Watchers(rules), Shape("thing", 30, 300)
        self.target = self.watchers.target([self.shape])
        self.revision, self.compacted, self.free = 1 + existing, -1, 0
        self.watchers.existed(self.shape, 2, existing)
        self.rounds: list[tuple[int, int]] = []

    def open(self, client: Client = CLIENT, streams: int = 1, each: int = 1, **more: Any) -> Group:
        group = Group(self.target, client, streams, each, **more)
        self.watchers.expect(group)
        return group

    def until(self, at: int) -> None:
        while self.watchers.due <= at:
            held = self.watchers.turn(self.free, self.revision, self.compacted)
            if held is not None:
                self.rounds.append(held)
                self.free = held[1]

    def write(self, times: Any) -> None:
        for at in times:
            self.until(int(at))
            self.free = max(self.free, int(at))
            self.revision += 1
            self.watchers.wrote(self.shape, self.revision, np.array([self.free]))


def one_by_one(client: Client, capacity: int, times: list[int]) -> tuple[int, int, int]:
    """A stream event by event, with lists of what was taken and what is under way: longest lag, sum of lags, how many fit."""
    channel: deque[int] = deque()
    taken: list[int] = []
    free, read, lags, under_way = 0, 0, [], []
    for number, at in enumerate(times):
        if sum(start > at for start in taken) >= capacity:
            return max(lags, default=0), sum(lags), number
        start = max(at, free)
        channel.append(at)
        taken.append(start)
        sent = start + client.send
        while sum(end > sent for end in under_way) > client.window - 1 and client.read > 1:
            sent = min(end for end in under_way if end > sent)
        free = sent
        read = max(read, sent) + client.read
        under_way.append(read)
        lags.append(read - at)
    return max(lags), sum(lags), len(times)


@pytest.mark.parametrize("gap", [5, 12, 40])
@pytest.mark.parametrize("read", [1, 14])
@pytest.mark.parametrize("pieces", [1, 4, 300])
def test_a_stream_is_two_queues_and_a_channel_between(gap: int, read: int, pieces: int) -> None:
    times = np.cumsum(np.random.default_rng(gap).integers(1, 2 * gap, 300))
    client, heard = Client(10, 0, read, window=10**6 if read == 1 else 20), Heard()
    stream, fit = WatchStream(client, 16, heard), 0
    for piece in np.array_split(times, pieces):
        fits = stream.put_many(piece)
        fit += fits
        if fits < len(piece):
            break
    longest, total, count = one_by_one(client, 16, times.tolist())
    assert (heard.longest, heard.total, fit) == (longest, total, count)
    assert gap < 40 or count == 300
    assert gap > 5 or count < 300


def test_who_reads_nothing_fills_window_and_channel_and_loses_sync() -> None:
    store = Store()
    group = store.open(Client(10, 1, 1, window=100, stalls=0), streams=3)
    store.write(range(MILLISECOND, 400 * MILLISECOND, MILLISECOND))
    # 100 are under way, one more is in the sender's hand, 128 in the channel; the next write finds it full.
    assert group.tally.full == 3
    assert group.tally.pending == 128
    assert group.tally.heard.arrived == 0
    assert store.watchers.slow.columns[0].tolist() == [3]
    assert store.watchers.slow.times[0] == 230 * MILLISECOND
    assert store.rounds == []  # a victim is not read for


def test_a_victim_that_missed_nothing_is_synced_else_it_is_read_for() -> None:
    for more in (0, 1):
        store = Store()
        group = store.open(Client(MILLISECOND, 1, 1, window=10**6))
        store.write([SECOND] * 130)  # the sender has one in hand, 128 wait: the last one is a victim's
        store.write([SECOND + MILLISECOND] * more)
        store.until(3 * SECOND)
        assert group.tally.full == 1
        assert len(store.rounds) == more
        assert store.watchers.slow.columns[0].tolist() == [1, 0]
        assert group.tally.heard.events == group.tally.heard.arrived == 130 + more


def test_each_round_reads_everything_since_but_gives_a_thousand() -> None:
    """etcd issue 22264: recovering 20,000 revisions reads 210,000 (its own count: 210,001)."""
    store = Store(existing=20_000)
    group = store.open(behind=20_000, at=SECOND)
    store.until(10 * SECOND)
    assert len(store.rounds) == 20
    assert store.watchers.scanned == 210_000
    assert store.rounds[0][1] - store.rounds[0][0] == pytest.approx(20_000 * 1_020, rel=1e-3)
    begins = [begins for begins, _ in store.rounds]
    ends = [ends for _, ends in store.rounds]
    assert {later - earlier for later, earlier in zip(begins[1:], ends, strict=False)} == {100 * MILLISECOND}
    assert group.tally.heard.arrived == 20_000
    assert group.tally.behind == 20_000


def test_releases_that_keep_what_they_read_read_it_once() -> None:
    store = Store(WatchRules(scan=1_000, match=10, reuses=True), existing=20_000)
    group = store.open(behind=20_000, at=SECOND)
    store.write(range(SECOND, 10 * SECOND, 10 * MILLISECOND))
    assert store.watchers.scanned < 20_000 + 300
    assert group.tally.heard.events == 20_900


def test_a_round_takes_512_and_the_next_one_follows_at_once() -> None:
    store = Store(existing=500)
    group = store.open(streams=1_200, behind=500)
    store.until(SECOND)
    assert len(store.rounds) == 3
    for (begins, ends), (following, _) in zip(store.rounds, store.rounds[1:], strict=False):
        assert following - ends == ends - begins
    assert group.tally.heard.events == 1_200 * 500
    assert store.watchers.most_slow == 1_200


def test_what_is_compacted_cancels_and_the_client_comes_back() -> None:
    store = Store(existing=5_000)
    store.compacted = 4_000
    gone, back = store.open(behind=3_000), store.open(behind=3_000, again=SECOND)
    store.until(2 * SECOND)
    store.write([3 * SECOND])
    assert gone.tally.compacted == back.tally.compacted == 1
    assert (gone.tally.watchers, back.tally.watchers) == (0, 1)
    assert (gone.tally.heard.events, back.tally.heard.events) == (0, 1)
    assert store.watchers.scanned == 0


def test_who_falls_behind_the_compaction_is_cancelled() -> None:
    store = Store()
    group = store.open(Client(10, 1, 1, window=10, stalls=0, resumes=2 * SECOND))
    store.write(range(MILLISECOND, SECOND, MILLISECOND))
    store.compacted = store.revision - 5
    store.until(3 * SECOND)
    assert group.tally.compacted == 1
    assert 139 <= group.tally.heard.events <= 141


def test_watchers_of_one_stream_share_its_channel() -> None:
    store = Store()
    group = store.open(Client(MILLISECOND, 1, 1, window=10**6), each=200)
    store.write([SECOND])
    assert group.tally.full == 200 - 128
    store.until(2 * SECOND)
    assert store.watchers.slow.columns[0][-1] == 0
    assert group.tally.heard.arrived == 200


@pytest.mark.parametrize("seed", range(7))
def test_everybody_hears_of_every_write_once(seed: int) -> None:
    """Whatever the channels, the rates and the stalls: when all is quiet again, each watcher has been told of each write."""
    random = np.random.default_rng(seed)
    store = Store(WatchRules(channel=int(random.choice([16, 128])), scan=5_000, match=100), existing=2_000)
    groups = []
    for _ in range(int(random.integers(1, 4))):
        stall = int(random.integers(0, 2 * SECOND)) if random.random() < 0.6 else NEVER
        send, read, window = (int(random.choice(of)) for of in ([1_000, 100_000, 2_000_000], [1, 50_000, 1_000_000], [5, 400]))
        client = Client(send, 500, read, window, stall, stall + SECOND if stall < NEVER else NEVER)
        streams, each = (int(random.integers(1, 900)), 1) if random.random() < 0.5 else (2, int(random.integers(1, 300)))
        groups.append((store.open(client, streams, each, behind=int(random.choice([0, 1_500]))), streams * each))
    times = np.sort(random.integers(2 * MILLISECOND, 3 * SECOND, 1_500))
    store.write(times)
    store.until(10_000 * SECOND)
    for group, watchers in groups:
        assert group.tally.heard.events == group.tally.heard.arrived == watchers * (1_500 + group.behind)
    assert store.watchers.slow.columns[0].tolist()[-1:] in ([], [0])
    assert store.watchers.due == NEVER


def test_many_writes_at_once_are_told_as_one_by_one() -> None:
    """A stretch of a cohort ends before the next try of a victim; within it nothing differs."""
    told = []
    for size in (1, 5, 80):
        store = Store()
        group = store.open(Client(1_300, 10, 1, window=10**6), streams=4)
        times = np.cumsum(np.random.default_rng(3).integers(1, 2_400, 5_000)) + MILLISECOND
        for piece in np.array_split(times, 5_000 // size):
            store.until(int(piece[0]))
            store.free = int(piece[-1])
            store.revision += len(piece)
            store.watchers.wrote(store.shape, store.revision, piece)
        told.append((group.tally.heard, group.tally.full))
    assert told[0] == told[1]
    assert told[1][1] == told[2][1] or told[0][0].events == told[2][0].events
