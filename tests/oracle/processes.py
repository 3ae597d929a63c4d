"""The oracle: the etcd write path written the obvious way, one SimPy process per station. Slow, and plainly right.

Client, Ready loop, link, follower, applier, commit timer, compaction, list: each is a process that waits for the one before it;
the batch lock is a SimPy Resource, first come, first served; a disk that stalls is waited for. Nothing is computed ahead. With
the same streams every request must be answered at the same nanosecond as by the look-ahead stations of `sim`.

Imports of `sim`: streams and laws of delays, the scenario, sizes in bytes, and the page accounting (a pure mechanism with tests
of its own).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from simpy import Environment, Resource
from simpy.events import Event

from sim import distributions
from sim.etcd import bbolt, wal
from sim.streams import Delays, Streams

SECOND = 1_000_000_000
PAGE = 4096


@dataclass
class Request:
    """One entry: a put of a key (None: a fresh one that nobody writes again), or a compaction to a revision."""

    kind: str
    key: Any
    key_bytes: int
    value_bytes: int
    apply_ns: int
    data: int
    revision: int = 0
    answered: Event | None = None
    outcome: str = ""
    arrived: int = 0


class Mailbox:
    """Messages in order; the reader takes all that have come, or waits for the first."""

    def __init__(self, env: Environment):
        self._env, self._messages, self._bell = env, [], None

    def put(self, message: Any) -> None:
        self._messages.append(message)
        if self._bell is not None and not self._bell.triggered:
            self._bell.succeed()

    def __len__(self) -> int:
        return len(self._messages)

    def wait(self) -> Event:
        self._bell = self._env.event()
        if self._messages:
            self._bell.succeed()
        return self._bell

    def take(self) -> list[Any]:
        messages, self._messages = self._messages, []
        return messages

    def next(self) -> Any:
        return self._messages.pop(0)

    def ready(self, now: int) -> bool:
        """Whether the next message, which begins with its time, has arrived too."""
        return bool(self._messages) and self._messages[0][0] <= now


class Disk:
    """A device that does nothing while it is stalled: work waits, and goes on afterwards."""

    def __init__(self, env: Environment, draw, bandwidth: float, stalls: list[tuple[int, int]]):
        self._env, self._draw, self._ns_per_byte, self._stalls = env, draw, SECOND / bandwidth, sorted(stalls)

    def sync(self, size: int):
        yield from self.work(self._draw() + int(size * self._ns_per_byte))

    def work(self, cost: int):
        env = self._env
        for begins, ends in self._stalls:
            if ends <= env.now:
                continue
            if begins >= env.now + cost:
                break
            if begins > env.now:
                cost -= begins - env.now
                yield env.timeout(begins - env.now)
            yield env.timeout(ends - env.now)
        yield env.timeout(cost)


class Store:
    """Naive MVCC: every revision in a list, with the element's slot and whether it is still the newest of its key."""

    def __init__(self, pages: bbolt.Pages, keep_tombstones: bool):
        self.pages, self.revision, self.compacted = pages, 1, -1
        self.revisions: list[list[int]] = []  # [revision, slot, superseded at (0: newest)]
        self.newest: dict[Any, tuple[list[int], int, int]] = {}
        self.live = 0

    def put(self, key: Any, key_bytes: int, value_bytes: int) -> str:
        self.revision += 1
        row, created, version = self.newest.get(key, (None, self.revision, 0)) if key is not None else (None, self.revision, 0)
        if row is not None:
            row[2] = self.revision
        else:
            self.live += 1
        kv = bbolt.key_value(key_bytes, value_bytes, created, self.revision, version + 1)
        fresh = [self.revision, self.pages.append(bbolt.element(kv)), 0]
        self.revisions.append(fresh)
        if key is not None:
            self.newest[key] = (fresh, created, version + 1)
        return "created" if row is None else "updated"

    def compact(self, revision: int, batch: int) -> list[list[int]] | None:
        """The slots to remove, batch by batch of walked revisions; None where the revision was compacted or does not exist."""
        if revision <= self.compacted or revision > self.revision:
            return None
        self.compacted = revision
        walked = [row for row in self.revisions if row[0] <= revision]
        self.revisions = [row for row in self.revisions if row[0] > revision or not 0 < row[2] <= revision]
        batches = []
        for start in range(0, len(walked) + 1, batch):
            part = walked[start : start + batch]
            batches.append([len(part), [row[1] for row in part if 0 < row[2] <= revision]])
        return batches


class Etcd:
    """The cluster: the first member leads, the others follow."""

    def __init__(self, env: Environment, scenario, seed: int):
        self.env, self.etcd, self.costs = env, scenario.etcd, scenario.etcd.costs
        streams = Streams(seed)
        release = self.etcd.release
        patch = release[2]
        self.commits_on_delete = release[1] > 5 or patch >= (30 if release[1] == 4 else 12)
        first, *others = self.etcd.members

        def disk(member: str, part: str) -> Disk:
            profile = self.etcd.members[member].profile
            law = (profile.backend_fdatasync if part == "backend" else None) or profile.fdatasync
            stalls = [(f.at, f.at + f.for_) for f in scenario.faults.values() if f.hits(member, part)]
            return Disk(env, Delays(streams(f"etcd.{member}.{part}"), table(law)).draw, float(profile.bandwidth), stalls)

        def link(name: str):
            rtt, jitter = self.etcd.network.rtt, self.etcd.network.jitter
            if not jitter:
                return lambda: rtt // 2
            return Delays(streams(f"etcd.link.{name}"), rtt // 2 + distributions.exponential(jitter / 2)).draw

        self.wal, self.backend = disk(first, "wal"), disk(first, "backend")
        self.apply_cost = Delays(streams(f"etcd.{first}.apply"), table(self.costs.apply)).draw
        self.pages = bbolt.Pages(small_follows_fill=release >= (3, 6, 0))
        self.store = Store(self.pages, True)
        self.inbox = Mailbox(env)
        self.woken: Event | None = None
        self.batches: list[list[Request]] = []
        self.saved, self.handed = 0, 0
        self.acked = [0] * len(others)
        self.to_apply = Mailbox(env)
        self.lock, self.pending, self.applied, self.handed_entries = Resource(env), 0, 0, 0
        self.readers: list[Event] = []
        self.jobs = Mailbox(env)
        self.size, self.alarm = 0, False
        self.index = self.offset = 0
        self.offset = 584
        self.fsyncs = self.commits = self.wal_bytes = 0
        self.compactions: list[int] = []
        self.links = []
        for number, member in enumerate(others):
            there, back = link(f"{first}-{member}"), link(f"{member}-{first}")
            sent, arrived, replies = Mailbox(env), Mailbox(env), Mailbox(env)
            own = disk(member, "wal")
            self.links.append((sent, there, own, back))
            env.process(self._deliver(sent, own, arrived.put))
            env.process(self._follower(arrived, own, replies))
            env.process(self._return(replies, lambda batch, n=number: self._acknowledged(n, batch)))
        for process in (self._ready_loop(), self._applier(), self._timer(), self._compactor()):
            env.process(process)

    # ---- the request

    def propose(self, request: Request) -> None:
        """Refused at once, or answered when it is applied, or told that it took too long."""
        request.arrived = self.env.now
        if self.handed_entries - self.applied > self.etcd.max_gap:
            self._answer(request, "too_many_requests")
        elif self.etcd.quota is not None and request.kind == "put" and not self._fits(request):
            self._answer(request, "no_space")
        else:
            self.inbox.put(request)
            self.env.process(self._deadline(request))
            self._wake()

    def _fits(self, request: Request) -> bool:
        if not self.alarm and self.size + 256 + request.key_bytes + request.value_bytes >= self.etcd.quota:
            self.alarm = True
        return not self.alarm

    def _answer(self, request: Request, outcome: str) -> None:
        if not request.answered.triggered:
            request.outcome = outcome
            request.answered.succeed(outcome)

    def _deadline(self, request: Request):
        yield self.env.timeout(self.etcd.request_timeout)
        self._answer(request, "timeout")

    # ---- raft

    def _wake(self) -> None:
        if self.woken is not None and not self.woken.triggered:
            self.woken.succeed()

    def _committed(self) -> int:
        """How many batches are saved here and by enough followers to make a quorum."""
        if not self.acked:
            return self.saved
        quorum = (len(self.acked) + 1) // 2
        return min(self.saved, sorted(self.acked, reverse=True)[quorum - 1])

    def _ready_loop(self):
        env, costs = self.env, self.costs
        while True:
            while not len(self.inbox) and self._committed() == self.handed:
                self.woken = env.event()
                yield self.woken
            surfaced = self._committed() > self.handed
            while self.handed < self._committed():
                for request in self.batches[self.handed]:
                    self.handed_entries += 1
                    self.to_apply.put((env.now, request))
                self.handed += 1
            batch = self.inbox.take()
            if not batch:
                self._written(40)
                yield env.timeout(costs.ready)
                continue
            self.batches.append(batch)
            size = 0
            for request in batch:
                self.index += 1
                size += wal.entry_frame(request.data, self.index)
            cut = self._written(size + 40 if surfaced else size)
            yield env.timeout(costs.ready + costs.entry * len(batch))
            for sent, there, own, back in self.links:
                sent.put((env.now, there(), own._draw(), back(), size, len(self.batches)))
            for part in (size, 0, 0, 0) if cut else (size,):
                yield from self.wal.sync(part)
                self.fsyncs += 1
            self.saved = len(self.batches)

    def _written(self, size: int) -> bool:
        self.wal_bytes += size
        self.offset += size
        if self.offset < self.etcd.segment_size:
            return False
        self.offset = 96
        self.wal_bytes += 96
        return True

    def _deliver(self, sent: Mailbox, own: Disk, receive):
        while True:
            yield sent.wait()
            message = sent.next()
            sent_at, there, _, _, size, _ = message
            if sent_at + there > self.env.now:  # else it waited behind an earlier one: in order
                yield self.env.timeout(sent_at + there - self.env.now)
            yield self.env.timeout(int(size * own._ns_per_byte))
            receive(message)

    def _follower(self, arrived: Mailbox, own: Disk, replies: Mailbox):
        while True:
            yield arrived.wait()
            messages = arrived.take()
            yield from own.work(messages[0][2])
            for _, _, _, back, _, batch in messages:
                replies.put((self.env.now + back, batch))

    def _return(self, replies: Mailbox, receive):
        while True:
            yield replies.wait()
            at, batch = replies.next()
            if at > self.env.now:
                yield self.env.timeout(at - self.env.now)
            while replies.ready(self.env.now):  # overtaken on the way, so arriving together: a later one acknowledges the earlier
                _, batch = replies.next()
            receive(batch)

    def _acknowledged(self, follower: int, batch: int) -> None:
        self.acked[follower] = max(self.acked[follower], batch)
        self._wake()

    # ---- apply and backend

    def _applier(self):
        env = self.env
        while True:
            yield self.to_apply.wait()
            _, request = self.to_apply.next()
            if request.kind == "compact":
                yield env.all_of(self.readers)
            with self.lock.request() as lock:
                yield lock
                yield env.timeout(self.apply_cost() + request.apply_ns)
                outcome = "unchanged"
                if request.kind == "put":
                    outcome = self.store.put(request.key, request.key_bytes, request.value_bytes)
                    self.pending += 1
                else:
                    batches = self.store.compact(request.revision, self.etcd.compaction.batch)
                    if batches is None:
                        outcome = "compacted"
                    else:
                        self.pending += 1
                        yield from self._commit()
                        self.jobs.put(batches)
                if self.pending >= self.etcd.batch_limit:
                    yield from self._commit()
                self.applied += 1
                if self.applied % self.etcd.entries_per_snapshot == 0:
                    yield env.all_of(self.readers)
                    yield from self._commit()
            self._answer(request, outcome)

    def _commit(self):
        pages = self.pages.commit()
        self.pending = 0
        self.commits += 1
        yield self.env.timeout(pages * self.costs.page_write)
        size = self.pages.bytes_total
        yield from self.backend.sync(pages * PAGE)
        yield from self.backend.sync(PAGE)
        self.size = size

    def _timer(self):
        while True:
            yield self.env.timeout(self.etcd.batch_interval)
            with self.lock.request() as lock:
                yield lock
                if self.pending:
                    yield from self._commit()

    def _compactor(self):
        env, costs = self.env, self.costs
        while True:
            yield self.jobs.wait()
            batches = self.jobs.next()
            yield env.timeout(self.store.live * costs.index_walk)
            started = env.now
            for number, (walked, removed) in enumerate(batches):
                with self.lock.request() as lock:
                    yield lock
                    yield env.timeout(walked * costs.scan + len(removed) * costs.delete)
                    if removed:
                        self.pages.free(np.array(sorted(removed)))
                        self.pending += len(removed)
                        if self.commits_on_delete:
                            yield from self._commit()
                if number == len(batches) - 1:
                    self.pending += 1
                    break
                with self.lock.request() as lock:
                    yield lock
                    if self.commits_on_delete or self.pending:
                        yield from self._commit()
                yield env.timeout(self.etcd.compaction.pause)
            self.compactions.append(env.now - started)

    def list_keys(self, keys: int):
        """A range read that holds store.mu shared until it ends."""
        done = self.env.event()
        self.readers.append(done)
        yield self.env.timeout(keys * (self.costs.read_key + self.costs.index_key))
        done.succeed()


def table(law) -> distributions.Table:
    """The quantile table of a declared law (those that the cases use)."""
    kind = type(law).__name__
    if kind == "Constant":
        return distributions.constant(law.constant)
    if kind == "Lognormal":
        return distributions.lognormal(law.median, law.p99)
    return distributions.gamma(law.mean, law.sd)
