"""The leader's Ready loop: ONE goroutine that hands over what is committed, sends, saves.

    turn      hand committed entries to the applier; take what has arrived as one batch; send it to the followers; save it
    busy      until the save ends nothing else happens here: whatever arrives meanwhile is the next batch (group commit)
    commit    a batch is committed when it is saved here and by enough followers; that surfaces in the next turn

Three things can happen: a request arrives, a save ends, a commit surfaces. Everything else (followers, applier, lock, disk) is a
station and is computed. The request timeout is one alarm for the oldest request without an answer.

How the lead is lost and taken over is in `sim.processes.lead`, what is refused in `sim.processes.refusals`.

Sources: etcd server/etcdserver/raft.go (start); go.etcd.io/raft log.go (nextCommittedEnts: at most 1 MiB a Ready). Simplified:
followers learn of a commit without cost; a cohort is not divided.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappush
from itertools import takewhile
from typing import Final

from simpy.events import NORMAL

from sim.etcd import wal
from sim.etcd.backend import Backend
from sim.etcd.follower import Follower, Postponed
from sim.etcd.request import COHORT, PUT_ONCE
from sim.hardware.cpu import Cpu
from sim.hardware.disk import NEVER, Disk
from sim.journal import Journal, Samples
from sim.processes.cohorts import Cohort, Cohorts
from sim.processes.deadlines import Deadlines, Waiting
from sim.processes.events import Alarm, Call, Clock, Ghost
from sim.processes.leader_rules import LeaderRules
from sim.processes.refusals import Refusals
from sim.units import MILLISECOND, Bytes, Nanoseconds

Flying = tuple[Nanoseconds, list[Waiting], Nanoseconds, list[Nanoseconds]]
"""A batch in flight: committed at; its entries; saved here at; acknowledged at, by each follower with a vote."""
Told = Callable[[Nanoseconds, Nanoseconds, bool, list[list[Waiting]]], None]
"""Hears of batches that are committed: now, when the message leaves that tells of it, whether entries ride in it, and they."""
PORTION: Final[Bytes] = 2**20
"""Most bytes of committed entries that one turn hands over, though always one entry (MaxCommittedSizePerReady)."""
READ_RETRY: Final[Nanoseconds] = 500 * MILLISECOND
"""A linearizable read asks again after that while nobody leads (v3_server.go readIndexRetryTime)."""


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
        self._applied = applied
        self._sync = disk.sync
        self._appends = [follower.append for follower in followers if follower.member.votes]
        self._learners = [follower.append for follower in followers if not follower.member.votes]
        self._postponed: list[Postponed] = []
        self._watch_acks()
        self._quorum_ack = (len(self._appends) + 1) // 2 - 1
        self._patience: Nanoseconds = NEVER  # a batch that takes longer to commit may cost the lead
        self._stops_at: Nanoseconds = NEVER  # when the leading member's process next does nothing
        self._ready, self._entry, self._timeout = rules.ready, rules.entry, rules.request_timeout
        self._wake, self._handoff = rules.wake, rules.handoff
        self._cpu = cpu
        self._has_core = False
        self._handlers: deque[tuple[Nanoseconds, Call]] = deque()  # requests whose goroutines wait for a core, and until when
        self._handler = Alarm(env, self._handled)
        self._taking, self._per_kib = rules.request - rules.request // 2, rules.request_per_kib
        self._answering = rules.request // 2
        self._max_request, self._max_gap = rules.max_request, rules.max_gap
        self._applying = backend.applied.times
        self._inbox: list[Waiting] = []
        self.listeners: list[Told] = []
        """Who hears what is committed, with the leader's next message."""
        self.copies = 0
        """Followers on the same cores that apply and commit the same at about the same time."""
        self._surfaced: list[list[Waiting]] = []  # what they hear next
        self._in_flight: deque[Flying] = deque()  # in log order
        self._heaviest: Bytes = 0  # largest batch so far
        self._queue: deque[tuple[Nanoseconds, list[Waiting]]] = deque()  # handed over at, and not looked at by the applier yet
        self._barrier = Alarm(env, self._go_on)
        self._known = 0  # batches in flight of which the last turn knew that they are committed: too much for one turn
        self._busy_until: Nanoseconds = 0
        self._sent: Nanoseconds = 0  # when the last batch leaves for the followers
        self._save_ended = Alarm(env, self._turn)
        self._committed = Alarm(env, self._turn)
        self.deadlines = Deadlines(env, rules.request_timeout, self._unanswered)
        self._overdue, self._storms = self.deadlines.alarm, self.deadlines.storms
        self.log = wal.Segments(rules.segment)
        self.saves = Journal(1)  # duration of the fdatasyncs of a save
        self._save_times, self._save_durations = self.saves.times, self.saves.columns[0]
        self.commit_waits = Samples()  # from proposal to hand-over
        self.batches = self.entries = 0
        self.bytes_by_writer = [0] * writers
        self.refusals = Refusals(env, backend, rules, self.propose, incident)
        self._tight = self.refusals.tight

    def propose(self, call: Call) -> None:
        """A request arrives: refused at once, or in the next batch."""
        now: Nanoseconds = self._env._now
        if call.data > self._max_request or self._backend.size > self._tight or len(self._applying) > self._max_gap:
            proposed = self.refusals.proposed(call, now)
            if proposed is None:
                return
            call = proposed
        cpu = self._cpu
        if cpu is not None:
            work = self._taking + call.shape.request_ns + (call.data * self._per_kib >> 10)  # `rules.taking`, without its call
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

    def accept(self, entry: Ghost) -> None:
        """What another member proposes comes, for the next batch."""
        self._inbox.append(entry)
        self.rouse()

    # ---- storms

    def attach(self, storm: Cohorts) -> None:
        """Writes come as cohorts, too: the storm is asked at each turn."""
        self._storms.append(storm)

    def rouse(self) -> None:
        """There is something for the next batch."""
        now: Nanoseconds = self._env._now
        if now >= self._busy_until:
            self._turn()
        elif self._save_ended.callbacks is None:
            self._save_ended.arm(self._busy_until - now)

    def _cohorts(self, now: Nanoseconds) -> list[Cohort]:
        """What storms have for the batch that begins now."""
        cohorts = [cohort for storm in self._storms if (cohort := storm.take()) is not None]
        for cohort in cohorts:
            if self._cpu is not None:
                self._charge(now, cohort.count * (self._rules.taking(cohort.shape, cohort.data) + self._entry))
        return cohorts

    def _charge(self, now: Nanoseconds, work: Nanoseconds) -> None:
        """Work of many goroutines, spread over all cores."""
        assert self._cpu is not None
        for _ in range(self._cpu.cores):
            self._cpu.urge(now, work // self._cpu.cores)

    # ---- the loop

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

    def read(self, at: Nanoseconds) -> Nanoseconds | None:
        """When a linearizable read that arrives at `at` is answered: the index from a quorum, then everything up to it applied.

        None while nobody leads: it has to be asked again.

        Simplified: the Ready loop's turns after now are not known yet and do not delay it; followers answer without a wait.
        """
        if self._busy_until >= NEVER:
            return None
        sent = max(at, self._busy_until) + self._rules.ready
        return max(sent + (self._rules.rtt if self._followers else 0), self.applies_until)

    @property
    def applies_until(self) -> Nanoseconds:
        """When everything that was handed to the applier is applied, or when more is known of it (see `computed`)."""
        return self._backend.barrier if self._queue else self._backend.free_at

    @property
    def computed(self) -> int:
        """Entries of which it is known when they are applied."""
        return self._backend.computed

    @property
    def handed_over(self) -> int:
        """Entries that were handed to the applier."""
        return self._backend.computed + self._rules.max_gap - self._max_gap

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
        answers = sorted(follower.answers(sent + way) + way for follower in self._followers if follower.member.votes)
        return answers[self._quorum_ack] if answers else sent

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
        storms = self._storms
        while True:
            if self._cpu is not None and self._waits_for_core(now):
                return
            for storm in storms:
                storm.settle(now)  # before what is handed over decides about them
            commits = surfaced = False
            if self._known or len(in_flight) * self._heaviest > PORTION:
                surfaced, commits = self._hand_over_portion(now)
            else:
                while in_flight and in_flight[0][0] <= now:
                    self._hand_over(now, in_flight.popleft()[1])
                    commits = True
            batch = self._inbox
            cohorts = self._cohorts(now) if storms else None
            if batch or cohorts:
                self._inbox = []
                log = self.log
                size = log.append(batch, self.bytes_by_writer)
                count = len(batch)
                for cohort in cohorts or ():
                    frames = log.append_many(cohort.count, cohort.data, cohort.shape)
                    self.bytes_by_writer[cohort.writer] += frames
                    size += frames
                    count += cohort.count
                    batch.append(cohort)
                if size > self._heaviest:
                    self._heaviest = size
                self.batches += 1
                self.entries += count
                sent = self._sent = now + self._ready + self._entry * count
                acks: list[Nanoseconds] = []
                for append in self._appends:  # sent before our own save
                    acks.append(append(sent, size, count))  # noqa: PERF401 (a comprehension is a call of its own)
                for append in self._learners:
                    append(sent, size, count)
                full = log.write(size + wal.HARD_STATE_FRAME if commits else size)
                committed = saved = self._sync(sent, size)
                self._save_times.append(saved)
                self._save_durations.append(saved - sent)
                if full:
                    log.cut()
                    committed = saved = self._cut(saved)
                if acks:
                    quorum = sorted(acks)[self._quorum_ack]
                    if quorum > saved:
                        committed = quorum
                if self._postponed:
                    self._postpone()
                in_flight.append((committed, batch, saved, acks))
                self._busy_until = busy_until = saved
                if self._surfaced:
                    self._tell(now, sent, True)
                if committed - now > self._patience:
                    self._doubt(now, saved)
            elif commits or surfaced:
                if commits:
                    self.log.write(wal.HARD_STATE_FRAME)  # in the page buffer: reaches the disk with the next save
                self._busy_until = busy_until = now + self._ready
                if self._surfaced:
                    self._tell(now, busy_until, False)
            for storm in storms:
                storm.arm(busy_until)
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
        if self._wake:
            cpu.urge(now, self._wake)
        work = self._ready + self._entry * len(inbox)
        if now > self._busy_until or not self._save_times or self._save_times[-1] != now:
            cpu.urge(now, work)
            return False
        begins = cpu.back(now, work)
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

    def _doubt(self, now: Nanoseconds, saved: Nanoseconds) -> None:
        """A batch that is sent now takes long to be saved, which it is at `saved`, or to be acknowledged: the lead may be lost."""

    def _begin(self, now: Nanoseconds) -> None:
        """The first, empty entry of a new leader is committed."""

    def _stop(self, now: Nanoseconds, batch: list[Waiting]) -> None:
        """The leading member's process stops before all of a batch, handed over now, is applied."""

    def _hand_over_portion(self, now: Nanoseconds) -> tuple[bool, bool]:
        """Hand over what is committed, up to the limit of one turn: whether anything is, and anything since the last turn.

        The next turn goes on with the rest.
        """
        in_flight, index, taken = self._in_flight, self.log.index, 0
        committed = sum(1 for _ in takewhile(lambda flying: flying[0] <= now, in_flight))
        news = committed > self._known
        for left in range(committed, 0, -1):
            at, batch, saved, acks = in_flight[0]
            for place, entry in enumerate(batch):
                size = wal.entry(entry.data, index)
                if isinstance(entry, Cohort):
                    size *= entry.count
                if taken and taken + size > PORTION:
                    self._known = left
                    if place:
                        in_flight[0] = at, batch[place:], saved, acks
                        self._hand_over(now, batch[:place])
                    return True, news
                taken += size
            in_flight.popleft()
            self._hand_over(now, batch)
        self._known = 0
        return committed > 0, news

    def _hand_over(self, now: Nanoseconds, batch: list[Waiting], handed: Nanoseconds = -1, past: bool = False) -> None:
        """Hand a batch over to the applier and answer what it has applied. handed: when it was, if it waited at a barrier."""
        if handed < 0 and self._queue:
            self._wait(now, batch)
            return
        empty = not batch
        # What its followers hear of must be known, where somebody asks them.
        applied = self._backend.hand_over(now, batch, handed, past or bool(self.listeners))
        reached = now if handed < 0 else handed
        if applied < len(batch):
            self._wait(reached, batch[applied:], first=True)
            batch = batch[:applied]
        if self._backend.free_at > self._stops_at:
            self._stop(now, batch)
        if self.listeners:
            self._surfaced.append(batch)
        timeout, cpu, handoff = self._timeout, self._cpu, self._handoff
        if cpu is not None:
            work = self._backend.take_work()
            cpu.urge(now, work)
            for _ in range(self.copies):
                cpu.urge(now, work)
        waited = self.commit_waits.add
        for entry in batch:
            if entry.op is COHORT:
                self._hand_over_many(now, entry, reached)  # type: ignore[arg-type]
                continue
            arrives = entry.arrives
            waited(reached - arrives)
            if entry.op > PUT_ONCE:
                self._applied(entry)  # type: ignore[arg-type]
            done = entry.done + handoff
            if cpu is not None and entry.here:
                begins = cpu.run(now, self._answering) - self._answering
                if begins > done:
                    done = begins
            if done - arrives > timeout:
                self.deadlines.time_out(entry, now, max(now, arrives + timeout))
                continue
            on_answer = entry.on_answer
            if on_answer is None:
                entry.answer(now, done)
            else:  # as `answer` does, without its call; a ghost has none
                entry.answered = done  # type: ignore[union-attr]
                on_answer(entry, now, done)  # type: ignore[arg-type]
        if empty:
            self._begin(now)

    def _tell(self, now: Nanoseconds, sent: Nanoseconds, rides: bool) -> None:
        """Followers learn what is committed from what is sent at `sent`. rides: whether entries go with it."""
        surfaced, self._surfaced = self._surfaced, []
        for told in self.listeners:
            told(now, sent, rides, surfaced)

    def _wait(self, reached: Nanoseconds, batch: list[Waiting], first: bool = False) -> None:
        """Entries that reached the applier wait at its barrier; first: those that are the next ones there."""
        self._max_gap = self.refusals.max_gap = self._max_gap - _entries(batch)
        if not first:
            self._queue.append((reached, batch))
            return
        self._queue.appendleft((reached, batch))
        if self._barrier.armed:
            self._barrier = Alarm(self._env, self._go_on)
        self._barrier.arm(max(0, self._backend.barrier - self._env._now))

    def _go_on(self, _alarm: Alarm | None, past: bool = False) -> None:
        """The applier is at its barrier, or past it: it goes on with what waits there."""
        now, queue = self._env._now, self._queue
        if not past and now < self._backend.barrier:
            return
        while queue:
            reached, batch = queue.popleft()
            self._max_gap = self.refusals.max_gap = self._max_gap + _entries(batch)
            self._hand_over(now, batch, reached, past)
            if self._backend.barrier < NEVER:
                return

    def _postpone(self) -> None:
        """Acknowledgements come later than followers said: so do commits that have not surfaced."""
        in_flight = self._in_flight
        for place, said, comes in self._postponed:
            acks = next((flying[3] for flying in reversed(in_flight) if flying[3] and flying[3][place] == said), None)
            if acks is None:
                continue
            acks[place] = comes
            quorum = sorted(acks)[self._quorum_ack]
            for number, (_, batch, saved, same) in enumerate(in_flight):
                if same is acks:
                    in_flight[number] = max(saved, quorum), batch, saved, acks
        self._postponed.clear()

    def _watch_acks(self) -> None:
        """Followers tell what is postponed."""
        for place, follower in enumerate(follower for follower in self._followers if follower.member.votes):
            follower.place, follower.postponed = place, self._postponed

    def _hand_over_many(self, now: Nanoseconds, cohort: Cohort, reached: Nanoseconds) -> None:
        self.commit_waits.extend(reached - cohort.arrivals)
        if self._cpu is not None:
            self._charge(now, cohort.count * self._answering)
        self.deadlines.failed += cohort.applied(now, self._timeout)

    def _unanswered(self) -> list[list[Waiting]]:
        """Lists of requests that wait for their answer, each by age."""
        return [*(batch for _, batch in self._queue), *(flying[1] for flying in self._in_flight), self._inbox]


def _entries(batch: list[Waiting]) -> int:
    """How many entries of the log a batch is."""
    return sum(entry.count if isinstance(entry, Cohort) else 1 for entry in batch)
