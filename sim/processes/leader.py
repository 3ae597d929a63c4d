"""The leader's Ready loop: ONE goroutine that hands over what is committed, sends, saves.

    turn      hand committed entries to the applier; take what has arrived as one batch; send it to the followers; save it
    busy      until the save ends nothing else happens here: whatever arrives meanwhile is the next batch (group commit)
    commit    a batch is committed when it is saved here and by enough followers; that surfaces in the next turn

Three things can happen: a request arrives, a save ends, a commit surfaces. Everything else (followers, applier, lock, disk) is a
station and is computed. The request timeout is one alarm for the oldest request without an answer.

Sources: etcd server/etcdserver/raft.go (start), server/etcdserver/v3_server.go (processInternalRaftRequestOnce),
api/v3rpc/quota.go. Simplified: the lead never changes; messages are not limited in size; followers learn of a commit without
cost.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappush
from typing import Final

from simpy.events import NORMAL

from sim.etcd import wal
from sim.etcd.backend import Backend
from sim.etcd.follower import Follower
from sim.etcd.request import PUT_ONCE, Op, Outcome
from sim.hardware.cpu import Cpu
from sim.hardware.disk import Disk
from sim.journal import Journal, Samples
from sim.processes.events import Alarm, Call, Clock, Ghost
from sim.units import SECOND, Bytes, Nanoseconds

_SMALL_QUOTA: Final[Bytes] = 256 * 2**20
PUT_OVERHEAD: Final[Bytes] = 256
"""What the quota check adds to a put's key and value (server/storage/quota.go kvOverhead)."""
_GROWS: Final = frozenset({Op.CREATE_ONCE, Op.PUT_ONCE, Op.CREATE, Op.UPDATE, Op.PUT, Op.LEASE_GRANT})


@dataclass(frozen=True, slots=True)
class LeaderRules:
    """Limits and costs. quota: bytes, None without one; ready and entry: serial CPU of one turn and of one entry in it, request and
    request_per_kib: of the goroutine that takes a request and answers it, ns; rtt: between members."""

    quota: Bytes | None
    request_timeout: Nanoseconds = 7 * SECOND
    max_gap: int = 5000
    ready: Nanoseconds = 0
    entry: Nanoseconds = 0
    request: Nanoseconds = 0
    request_per_kib: Nanoseconds = 0
    segment: Bytes = wal.SEGMENT
    rtt: Nanoseconds = 0
    max_request: Bytes = 1_572_864  # etcd: embed/config.go DefaultMaxRequestBytes


class Leader:
    """Decides when entries are saved, committed and applied; answers calls.

    applied: called for each entry of a named key once its outcome and time are known (the watch). incident: called with time,
    kind and a sentence.
    """

    def __init__(
        self, env: Clock, disk: Disk, followers: list[Follower], backend: Backend, rules: LeaderRules, writers: int,
        applied: Callable[[Call | Ghost], None], incident: Callable[[Nanoseconds, str, str], None], cpu: Cpu | None = None,
    ):  # fmt: skip
        self._env, self._disk, self._followers, self._backend, self._rules = env, disk, followers, backend, rules
        self._applied, self._incident = applied, incident
        self._sync = disk.sync
        self._appends = [follower.append for follower in followers]
        self._quorum_ack = (len(followers) + 1) // 2 - 1
        self._ready, self._entry, self._timeout = rules.ready, rules.entry, rules.request_timeout
        self._cpu = cpu
        self._has_core = False
        self._handlers: deque[tuple[Nanoseconds, Call]] = deque()  # requests whose goroutines wait for a core, and until when
        self._handler = Alarm(env, self._handled)
        self._taking, self._per_kib = rules.request - rules.request // 2, rules.request_per_kib
        self._answering = rules.request // 2
        self._max_request, self._max_gap = rules.max_request, rules.max_gap
        self._applying = backend.applied.times
        self._inbox: list[Call | Ghost] = []
        self._in_flight: deque[tuple[Nanoseconds, list[Call | Ghost]]] = deque()  # (committed at, batch), in log order
        self._busy_until: Nanoseconds = 0
        self._save_ended = Alarm(env, self._turn)
        self._committed = Alarm(env, self._turn)
        self._overdue = Alarm(env, self._expire)
        self.log = wal.Segments(rules.segment)
        self.saves = Journal(1)  # duration of the fdatasyncs of a save
        self._save_times, self._save_durations = self.saves.times, self.saves.columns[0]
        self.commit_waits = Samples()  # from proposal to hand-over
        self.batches = self.entries = 0
        self.bytes_by_writer = [0] * writers
        # Far from the quota nothing has to be looked up: no commit, computed yet or not, doubles a file of that size.
        self._tight: float = math.inf
        if rules.quota is not None:
            self._tight = rules.quota // 2 if rules.quota > _SMALL_QUOTA else -1
        self.no_space = False
        self.failed = 0
        self.refused = {Outcome.NO_SPACE: 0, Outcome.TOO_MANY_REQUESTS: 0, Outcome.TOO_LARGE: 0}

    def propose(self, call: Call) -> None:
        """A request arrives: refused at once, or in the next batch."""
        now: Nanoseconds = self._env._now
        if call.data > self._max_request or self._backend.size > self._tight or len(self._applying) > self._max_gap:
            outcome = self._refusal(call, now)
            if outcome is not None:
                self.refused[outcome] += 1
                call.outcome = outcome
                call.answer(now, now)
                return
        cpu = self._cpu
        if cpu is not None:
            work = self._taking + (call.data * self._per_kib >> 10)
            begins = cpu.run(now, work) - work
            if begins > now:  # its goroutine's own time is part of its way here, its wait for a core is not
                self._handlers.append((begins, call))
                if self._handler.callbacks is None:
                    self._handler.arm(self._handlers[0][0] - now)
                return
        self._inbox.append(call)
        if self._overdue.callbacks is None:
            self._overdue.arm(self._timeout)
        if now >= self._busy_until:
            self._turn()
        elif self._save_ended.callbacks is None:
            self._save_ended.arm(self._busy_until - now)

    def _handled(self, _alarm: Alarm) -> None:
        """The goroutines of requests that waited for a core have one."""
        now: Nanoseconds = self._env._now
        handlers = self._handlers
        while handlers and handlers[0][0] <= now:
            self._inbox.append(handlers.popleft()[1])
        if handlers:
            self._handler.arm(handlers[0][0] - now)
        if self._overdue.callbacks is None:
            self._overdue.arm(self._timeout)
        self._turn()

    def read(self, at: Nanoseconds) -> Nanoseconds:
        """When a linearizable read that arrives at `at` is answered: the index from a quorum, then everything up to it applied.

        Simplified: the Ready loop's turns after now are not known yet and do not delay it; followers answer without a wait.
        """
        sent = max(at, self._busy_until) + self._rules.ready
        return max(sent + (self._rules.rtt if self._followers else 0), self._backend.free_at)

    @property
    def next_turn(self) -> Nanoseconds:
        """When the Ready loop is free; NEVER while nobody leads."""
        return self._busy_until

    def next_turn_moved(self, due: Nanoseconds) -> bool:
        """Whether the turn that was to begin at `due` waits for a core."""
        return self._has_core and self._busy_until > due

    def heard(self, sent: Nanoseconds) -> Nanoseconds:
        """When a quorum has answered a heartbeat that is sent at `sent`."""
        way = self._rules.rtt // 2
        answers = sorted(follower.answers(sent + way) + way for follower in self._followers)
        return answers[self._quorum_ack] if answers else sent

    def _refusal(self, call: Call, now: Nanoseconds) -> Outcome | None:
        backend, rules = self._backend, self._rules
        if call.data > rules.max_request:
            return Outcome.TOO_LARGE
        if rules.quota is not None and call.op in _GROWS and self._over_quota(call, now, rules.quota):
            return Outcome.NO_SPACE
        return Outcome.TOO_MANY_REQUESTS if backend.applied.ahead(now) > rules.max_gap else None

    def _over_quota(self, call: Call, now: Nanoseconds, quota: Bytes) -> bool:
        """The file as the last commit left it, and the request, against the quota; once over, the alarm stands."""
        if not self.no_space:
            backend = self._backend
            backend.advance(now)
            cost = PUT_OVERHEAD + call.shape.key_bytes + call.shape.value_bytes
            size = backend.database.value_at(now, 0)
            if size + cost < quota:
                return False
            self.no_space = True
            self._incident(now, "quota", f"NOSPACE alarm: the database of {size:,} bytes has reached the quota; writes are refused")
        return True

    def _turn(self, _alarm: Alarm | None = None) -> None:
        """One Ready, if the loop is free now; else it comes at the end of the save.

        Whoever calls it, or `propose`, does nothing after it: the next turn follows at once where nothing else happens before.
        """
        env, in_flight = self._env, self._in_flight
        queue = env._queue
        now: Nanoseconds = env._now
        busy_until = self._busy_until
        if now < busy_until:
            if self._save_ended.callbacks is None:
                self._save_ended.arm(busy_until - now)
            return
        while True:
            if self._cpu is not None and self._waits_for_core(now):
                return
            commits = False
            while in_flight and in_flight[0][0] <= now:
                self._hand_over(now, in_flight.popleft()[1])
                commits = True
            batch = self._inbox
            if batch:
                self._inbox = []
                log = self.log
                size = log.append(batch, self.bytes_by_writer)
                count = len(batch)
                self.batches += 1
                self.entries += count
                sent = now + self._ready + self._entry * count
                acks: list[Nanoseconds] = []
                for append in self._appends:  # sent before our own save
                    acks.append(append(sent, size))  # noqa: PERF401 (a comprehension is a call of its own)
                full = log.write(size + wal.HARD_STATE_FRAME if commits else size)
                committed = saved = self._sync(sent, size)
                self._save_times.append(saved)
                self._save_durations.append(saved - sent)
                if full:
                    log.cut()
                    committed = saved = self._cut(saved)
                if acks:
                    acks.sort()
                    quorum = acks[self._quorum_ack]
                    if quorum > saved:
                        committed = quorum
                in_flight.append((committed, batch))
                self._busy_until = busy_until = saved
            elif commits:
                self.log.write(wal.HARD_STATE_FRAME)  # in the page buffer: reaches the disk with the next save
                self._busy_until = busy_until = now + self._ready
            alarm = self._committed
            if not in_flight or alarm.callbacks is not None:
                return
            surfaces = in_flight[0][0]
            if surfaces < busy_until:
                surfaces = busy_until
            if surfaces >= env.until or (queue and queue[0][0] <= surfaces):
                alarm.callbacks = alarm._ring  # as `arm`, without its call
                heappush(queue, (surfaces, NORMAL, next(env._eid), alarm))
                return
            now = surfaces
            env._now = now

    def _waits_for_core(self, now: Nanoseconds) -> bool:
        """Charge a turn that begins now to the cores; true where its goroutine has to wait for one, and comes back then.

        It has to after a save, which it sat out in a system call: until then the fdatasync is not over for etcd.
        """
        if self._has_core:
            self._has_core = False
            return False
        inbox, in_flight, cpu = self._inbox, self._in_flight, self._cpu
        assert cpu is not None
        if not inbox and not (in_flight and in_flight[0][0] <= now):
            return False
        work = self._ready + self._entry * len(inbox)
        if now > self._busy_until or not self._save_times or self._save_times[-1] != now:
            cpu.urge(now, work)
            return False
        begins = cpu.run(now, work) - work
        if begins <= now:
            return False
        self._has_core = True
        self._save_times[-1] = self._busy_until = begins
        self._save_durations[-1] += begins - now
        if self._save_ended.callbacks is None:
            self._save_ended.arm(begins - now)
        return True

    def _cut(self, saved: Nanoseconds) -> Nanoseconds:
        """A segment is cut: the save was the fdatasync of the old file; now that of the new one and of the directory."""
        for _ in range(2):
            starts, saved = saved, self._disk.sync(saved, 0)
            self._save_times.append(saved)
            self._save_durations.append(saved - starts)
        return saved

    def _hand_over(self, now: Nanoseconds, batch: list[Call | Ghost]) -> None:
        self._backend.hand_over(now, batch)
        timeout, cpu = self._timeout, self._cpu
        if cpu is not None:
            cpu.urge(now, self._backend.take_work())
        waited = self.commit_waits.add
        for entry in batch:
            arrives = entry.arrives
            waited(now - arrives)
            if entry.op > PUT_ONCE:
                self._applied(entry)
            done = entry.done
            if cpu is not None:
                begins = cpu.run(now, self._answering) - self._answering
                if begins > done:
                    done = begins
            if done - arrives > timeout:
                self._time_out(entry, now, max(now, arrives + timeout))
                continue
            on_answer = entry.on_answer
            if on_answer is None:
                entry.answer(now, done)
            else:  # as `answer` does, without its call; a ghost has none
                entry.answered = done  # type: ignore[union-attr]
                on_answer(entry, now, done)  # type: ignore[arg-type]

    def _time_out(self, entry: Call | Ghost, now: Nanoseconds, at: Nanoseconds) -> None:
        if isinstance(entry, Call):
            self.failed += 1
            entry.outcome = Outcome.TIMEOUT
            entry.answer(now, at)

    def _expire(self, _alarm: Alarm) -> None:
        """Tell the callers of requests that wait too long; their entries stay in the log."""
        now: Nanoseconds = self._env._now
        timeout = self._rules.request_timeout
        oldest: Nanoseconds | None = None
        for batch in [*(batch for _, batch in self._in_flight), self._inbox]:
            for place, entry in enumerate(batch):
                if isinstance(entry, Ghost):
                    continue
                if entry.arrives + timeout > now:
                    oldest = entry.arrives
                    break
                batch[place] = Ghost(entry)
                self._time_out(entry, now, now)
            if oldest is not None:
                break
        if oldest is not None:
            self._overdue.arm(oldest + timeout - now)
