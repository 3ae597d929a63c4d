"""Reads from etcd: gets and pages of lists, as load on the same loop, lock and cores as the writes.

    linearizable   joins the round of ReadIndex that begins next: one runs at a time, for all who came while the last one ran
    round          the index: a turn of the Ready loop, which includes the save in progress; with followers a heartbeat to all and
                   the answers of a quorum (a follower answers after its save in progress), and another turn; then everything up
                   to the index is applied
    serializable   starts at once
    the read       cannot start while a commit publishes its buffer, nor while a compaction waits for or holds store.mu; walks the
                   index over all keys of its range, limit or not (writers of the index wait), then looks up what it returns, with
                   store.mu shared until it ends

Sources: etcd server/etcdserver/v3_server.go (linearizableReadLoop, requestCurrentIndex), raft read_only.go; server/storage/backend
read_tx.go; server/storage/mvcc kvstore_txn.go (rangeKeys), index.go (Revisions). Simplified: the copy of the read buffer costs
nothing; heartbeats take half the round trip each way, without jitter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sim.etcd.backend import Backend
from sim.hardware.cpu import Cpu
from sim.hardware.disk import NEVER
from sim.journal import Samples
from sim.processes.events import Alarm, Call, Clock
from sim.processes.leader import Leader
from sim.units import MILLISECOND, Nanoseconds

RETRY: Nanoseconds = 500 * MILLISECOND
"""A round without an answer asks again after this (v3_server.go readIndexRetryTime)."""
_SLICE: Nanoseconds = 10 * MILLISECOND
"""A goroutine is preempted after so much of a core: what it takes beyond, it takes beside others (Go: forcePreemptNS)."""


@dataclass(frozen=True, slots=True)
class ReadCosts:
    """CPU: of the goroutine of one request, of a key walked in the index, of a key returned, of a turn of the Ready loop, ns."""

    request: Nanoseconds
    index_key: Nanoseconds
    read_key: Nanoseconds
    ready: Nanoseconds


Fetch = Callable[[Nanoseconds, int, int, int, "Told"], None]
"""Asks etcd with a linearizable read: when it arrives there, its writer, keys walked, keys returned, who hears of the answer."""
Told = Callable[[Nanoseconds, Nanoseconds], None]
"""Hears of an answer before it is there: when the read began, and when it ends."""


def _nobody(_begun: Nanoseconds, _ended: Nanoseconds) -> None:
    """Nobody asks."""


class Read(Call):
    """A range request, used again and again: `send` it as any call; the answer comes when it ends.

    walked: keys of its range; returned: how many of them it gives back. begun: when it began; it sees what was applied by then.
    then: told of the answer, where the API server asks.
    """

    __slots__ = ("begun", "linearizable", "returned", "then", "walked")

    def __init__(self, env: Clock, stage: Callable[[Call], None], writer: int):
        super().__init__(env, stage, writer)
        self.linearizable = True
        self.walked = self.returned = 1
        self.begun: Nanoseconds = 0
        self.then: Told = _nobody


class Reads:
    """Serves reads on the leading member. durations: of each, from arrival to answer, ns."""

    def __init__(self, env: Clock, leader: Leader, backend: Backend, costs: ReadCosts, cpu: Cpu | None):
        self._env, self._leader, self._backend, self._costs, self._cpu = env, leader, backend, costs, cpu
        self._idle: list[Read] = []  # of the API servers
        self._waiting: list[Read] = []  # for the next round
        self._round: list[Read] = []
        self._index = 0  # so many entries have to be applied before the round's reads
        self._index_applied: Nanoseconds = 0
        self._stopped = False  # the applier had stopped before them
        self._then: Callable[[], None] = self._ask
        self._alarm = Alarm(env, lambda _alarm: self._then())
        self.durations = Samples()
        self.served = self.rounds = 0

    def move(self, cpu: Cpu | None) -> None:
        """Another member leads, on other cores."""
        self._cpu = cpu

    def call(self, writer: int) -> Read:
        """A re-usable read of one client."""
        return Read(self._env, self._arrive, writer)

    def fetch(self, at: Nanoseconds, writer: int, walked: int, returned: int, then: Told) -> None:
        """A linearizable read that arrives at `at`: `then` hears when it is answered."""
        read = self._idle.pop() if self._idle else self.call(writer)
        read.writer, read.walked, read.returned, read.then = writer, walked, returned, then
        read.on_answer = self._fetched
        read.go(at, self._arrive)

    def _fetched(self, read: Call, _now: Nanoseconds, at: Nanoseconds) -> None:
        assert isinstance(read, Read)
        self._idle.append(read)
        read.then(read.begun, at)

    def _arrive(self, read: Call) -> None:
        assert isinstance(read, Read)
        if not read.linearizable:
            self._serve(read)
            return
        self._waiting.append(read)
        if not self._round:
            self._begin()

    # ---- the index

    def _begin(self) -> None:
        self._round, self._waiting = self._waiting, []
        self.rounds += 1
        self._at_turn(self._ask)

    def _at_turn(self, then: Callable[[], None]) -> None:
        """Go on in a turn of the Ready loop: now where it is free, else when its save is over."""
        due = self._leader.next_turn
        now: Nanoseconds = self._env._now
        if due <= now:
            then()
        elif due >= NEVER:
            self._go(now + RETRY, lambda: self._at_turn(self._ask))
        else:
            self._go(due, lambda: self._at_turn(then) if self._leader.next_turn_moved(due) else then())

    def _go(self, at: Nanoseconds, then: Callable[[], None]) -> None:
        self._then = then
        self._alarm.arm(at - self._env._now)

    def _ask(self) -> None:
        now: Nanoseconds = self._env._now
        self._index, self._index_applied = self._leader.handed_over, self._leader.applies_until
        if self._cpu is not None:
            self._cpu.urge(now, self._costs.ready)
        confirmed = self._leader.heard(now + self._costs.ready)
        if confirmed > now + RETRY:
            self._go(now + RETRY, lambda: self._at_turn(self._ask))
        elif confirmed > now + self._costs.ready:
            self._go(confirmed, lambda: self._at_turn(self._confirmed))
        else:
            self._confirmed()

    def _confirmed(self) -> None:
        now: Nanoseconds = self._env._now
        self._go(max(now + self._costs.ready, self._index_applied), self._reached)

    def _reached(self) -> None:
        """Everything up to the index is applied, if the applier did not stop at a barrier before it."""
        now, leader = self._env._now, self._leader
        if leader.computed < self._index:
            self._stopped = True
            self._go(max(now, leader.applies_until), self._reached)
            return
        if self._stopped:
            self._stopped = False
            if self._backend.free_at > now:
                self._go(self._backend.free_at, self._serve_round)
                return
        self._serve_round()

    def _serve_round(self) -> None:
        served, self._round = self._round, []
        for read in served:
            self._serve(read)
        if self._waiting:
            self._begin()

    # ---- the read

    def _serve(self, read: Read) -> None:
        now, costs, cpu = self._env._now, self._costs, self._cpu
        begins = self._backend.reads_from(now)
        walk = read.walked * costs.index_key
        work = walk + read.returned * costs.read_key
        if cpu is not None:
            slice_ = min(work, _SLICE)
            begins = max(begins, cpu.run(now, slice_ + costs.request) - slice_ - costs.request)
        ends = begins + work + int(read.returned * self._backend.fault)
        self._backend.reads(begins, begins + walk, ends, read.writer)
        read.begun = begins
        self.served += 1
        self.durations.add(ends - read.arrives)
        read.answer(now, ends)
