"""The lead of a cluster, as it goes from member to member: what is lost with it, and what the next leader makes of what it has.

    step down   nobody leads: requests that come wait for the next leader; what is in the log stays there, committed by nobody
    stop        the leader's process is paused: nothing surfaces until it goes on; or it crashes: who waits for an answer hears it
    take over   the next leader's log decides. Batches in it that were not handed over yet are committed with its first, empty
                entry; those it does not have are lost to it: their callers wait in vain, unless a later leader has them after all

A batch is handed over only when a quorum has it, and who is elected has what any quorum has (`sim.etcd.raft.node`). So what was
answered is never lost, and the order of what is applied never changes.

    ordinal     place of a batch in the log. `_tail` of a member: the batches in its log that have not been handed over
    end         of a member's log: the term of its last batch and its ordinal; logs are compared by it

The store and its pages are the same in all members: each applies the same entries in the same order. What a new leader brings
is its own disk, cores and clocks.

Sources: go.etcd.io/raft raft.go (becomeLeader: the empty entry; stepFollower), etcd server/etcdserver/v3_server.go
(parseProposeCtxErr: a request in flight when the leader is lost is answered by a timeout).
Simplified: clients go on with the new leader at once; a follower that lacks entries is asked once for the end of its log.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from sim.etcd import wal
from sim.etcd.backend import Backend
from sim.etcd.follower import MESSAGE, Follower
from sim.etcd.member import Member
from sim.etcd.raft.messages import Position
from sim.etcd.request import Outcome
from sim.hardware.disk import NEVER
from sim.processes.cohorts import Cohort
from sim.processes.deadlines import Waiting
from sim.processes.events import Alarm, Call, Clock, Ghost
from sim.processes.leader import Leader
from sim.processes.leader_rules import LeaderRules
from sim.units import Nanoseconds

Batch = list[Waiting]
FIRST_TERM = 2
"""etcd boots in term 1; the first leader is elected into term 2."""


class Piece(NamedTuple):
    """A batch in somebody's log."""

    ordinal: int
    term: int
    batch: Batch


class Lead(Leader):
    """The leader's place, taken by one member after the other.

    Counts `changes` of the lead; led: from when on who led. doubted: told when a batch takes so long that the lead may be lost,
    with now and when it is saved. moved: told of each new leader; promoted: when its first entry is applied.
    """

    def __init__(
        self, env: Clock, member: Member, followers: list[Follower], backend: Backend, rules: LeaderRules, writers: int,
        applied: Callable[[Call | Ghost], None], incident: Callable[[Nanoseconds, str, str], None],
    ):  # fmt: skip
        super().__init__(env, member.wal, followers, backend, rules, writers, applied, incident, member.cpu)
        self.term = FIRST_TERM
        self.changes = 0
        self.led: list[tuple[Nanoseconds, str]] = [(0, member.name)]
        self.leads = True
        """Whether somebody leads (who, stands in `member`; else who led last)."""
        self.watched = False
        self.doubted: Callable[[Nanoseconds, Nanoseconds], None] = lambda now, saved: None
        self.promoted: Callable[[Nanoseconds], None] = lambda now: None
        self.moved: Callable[[Member], None] = lambda member: None
        self._offset = 0  # from the number of batches to the ordinal of the last one
        self._base = 0  # ordinal of the last batch of earlier leaders
        self._terms: dict[int, int] = {}  # of batches of earlier leaders, by ordinal
        self._tails: dict[str, tuple[Position, list[Piece]]] = {}  # of members that may have nothing of this leader yet
        self._unsaved = 0  # batches that the leader lost when it crashed
        self._orphans: list[Batch] = []
        self._held: Batch = []
        self._take(member, followers)

    def _take(self, member: Member, followers: list[Follower]) -> None:
        self.member, self._followers = member, followers
        self._disk, self._sync, self._cpu = member.wal, member.wal.sync, member.cpu
        self.log = member.log
        self._by_name = {follower.member.name: follower for follower in followers}
        self._watch_acks()

    # ---- who has what

    @property
    def last(self) -> int:
        """Ordinal of the last batch in the leader's log."""
        return self.batches + self._offset

    @property
    def handed(self) -> int:
        """Ordinal of the last batch that was handed over."""
        return self.last - len(self._in_flight)

    @property
    def slow_until(self) -> Nanoseconds:
        """When what is in flight will be committed, as far as it is known."""
        return max((flying[0] for flying in self._in_flight), default=0)

    @property
    def stuck_since(self) -> Nanoseconds:
        """When the oldest request came that is not committed yet; 0 without one."""
        return next((entry.arrives for flying in self._in_flight for entry in flying[1][:1]), 0)

    def be_wary(self, patience: Nanoseconds) -> None:
        """A batch that takes longer than that to be committed may cost the lead (see `doubted`)."""
        self._patience = patience if self._followers else NEVER
        self._stops_at = self.member.next_stop(-1)

    def watch(self) -> None:
        """From now on note what arrives where: the lead may be lost."""
        if not self.watched:
            self.watched = True
            for follower in self._followers:
                follower.note_from(self.last)
            self._note()

    def _note(self) -> None:
        self._appends = [follower.noted for follower in self._followers if follower.member.votes]
        self._learners = [follower.noted for follower in self._followers if not follower.member.votes]

    def trim(self) -> None:
        """Forget who has what of batches that were handed over."""
        for follower in self._followers:
            follower.forget(self.handed)

    def end(self, name: str, now: Nanoseconds) -> Position:
        """The end of a member's log at `now`."""
        if name == self.member.name:
            return Position(self.term, self.last - self._unsaved)
        has = self._by_name[name].has(now)
        if has > self._base or name not in self._tails:
            return Position(self.term, has)
        return self._tails[name][0]

    def send_database(self, name: str, now: Nanoseconds, until: Nanoseconds) -> None:
        """A member lacks entries that are in no log any more: until then it receives the whole database."""
        self._by_name[name].wait(now, until)

    def told(self, name: str, now: Nanoseconds) -> Nanoseconds:
        """When a member last heard of the leader by what is replicated; -1: not lately."""
        return self._by_name[name].heard(now)

    def saving(self, name: str, now: Nanoseconds) -> Nanoseconds:
        """Until when the Ready loop of a member is in a save; now where it is not."""
        if name == self.member.name:
            times, durations = self._save_times, self._save_durations
            return times[-1] if times and times[-1] - durations[-1] <= now < times[-1] else now
        return max(self._by_name[name].saving(now), self._by_name[name].member.busy_until)

    @property
    def followers(self) -> list[Follower]:
        """All other members, as the leader of now reaches them."""
        return self._followers

    def follower(self, name: str) -> Follower | None:
        """A member as the leader of now reaches it; None for the leader itself."""
        return self._by_name.get(name)

    def save_at(self, name: str, now: Nanoseconds) -> tuple[Nanoseconds, Nanoseconds]:
        """From when until when the save of a following member lasts that is in progress; (now, now) where none is."""
        follower = self._by_name.get(name)
        return (now, now) if follower is None else follower.save_at(now)

    def _tail(self, name: str, now: Nanoseconds) -> tuple[Position, list[Piece]]:
        end, handed = self.end(name, now), self.handed
        if end.term != self.term:
            return end, [piece for piece in self._tails[name][1] if piece.ordinal > handed]
        pieces = (
            Piece(ordinal, self._terms.get(ordinal, self.term), batch)
            for ordinal, (_, batch, _, _) in enumerate(self._in_flight, handed + 1)
        )
        return end, [piece for piece in pieces if piece.ordinal <= end.index]

    # ---- losing it

    def _doubt(self, now: Nanoseconds, saved: Nanoseconds) -> None:
        self.watch()
        self.doubted(now, saved)

    def step_down(self, now: Nanoseconds) -> None:
        """The leader has found that it leads no more: nobody does."""
        self.leads = False
        self._orphans.append(self._inbox)
        self._inbox = []
        self._rest(NEVER)

    def _rest(self, until: Nanoseconds) -> None:
        """Nothing happens before `until`. Alarms that are set ring for nothing."""
        self._busy_until = until
        self._save_ended, self._committed = Alarm(self._env, self._turn), Alarm(self._env, self._turn)
        if until < NEVER and (self._inbox or self._in_flight):
            self._save_ended.arm(until - self._env._now)

    def pause(self, now: Nanoseconds, until: Nanoseconds) -> None:
        """The leading member's process does nothing from now to `until`."""
        self._stops_at = self.member.next_stop(now)
        self._backend.freeze(now, until)
        if self._busy_until < NEVER:
            self._rest(max(self._busy_until, until))

    def crash(self, now: Nanoseconds) -> None:
        """The leading member's process ends: connections break, and what it has not saved is gone."""
        self._stops_at = self.member.next_stop(now)
        saving = bool(self._save_times) and self._save_times[-1] > now
        self._unsaved = int(saving and bool(self._in_flight))
        for batch in self._unanswered():
            for place, entry in enumerate(batch):
                if isinstance(entry, Call):
                    batch[place] = Ghost(entry)
                if not isinstance(entry, Ghost):
                    self._gone(entry, now, now)
        if self.leads and self._sent > now and self._in_flight:
            self._unsend()
        if saving:  # it never ended
            self._save_times.pop()
            self._save_durations.pop()
        if self.leads:
            self._inbox = []
            self.step_down(now)

    def _unsend(self) -> None:
        """The last batch has not left when the process ends: nobody has it."""
        batch = self._in_flight.pop()[1]
        count = sum(entry.count if isinstance(entry, Cohort) else 1 for entry in batch)
        self.batches -= 1
        self.entries -= count
        self.log.index -= count
        self._unsaved = 0
        for follower in self._followers:
            follower.arrived.pop()
        self._orphans.append(batch)

    def _gone(self, waiting: Call | Cohort, now: Nanoseconds, at: Nanoseconds) -> None:
        self.deadlines.failed += waiting.count - waiting.expired if isinstance(waiting, Cohort) else 1
        outcome, waiting.outcome = waiting.outcome, Outcome.UNAVAILABLE
        waiting.answer(now, at)
        if isinstance(waiting, Cohort):
            waiting.outcome, waiting.arrives = outcome, NEVER  # what becomes of it in the store

    def _stop(self, now: Nanoseconds, batch: Batch) -> None:
        stops = self._stops_at
        if self.member.crash_between(stops, stops + 1) is None:
            if batch:
                self._backend.postpone(now, batch, self.member.down)
            return
        for place, entry in enumerate(batch):
            if isinstance(entry, Ghost) or entry.done <= stops:
                continue
            if isinstance(entry, Call):
                batch[place] = Ghost(entry)
            self._gone(entry, now, max(now, stops))

    def _unanswered(self) -> list[Batch]:
        return [*self._orphans, *super()._unanswered(), self._held]

    # ---- taking it over

    def leave(self, now: Nanoseconds) -> None:
        """Nobody follows the old leader any more; saves that are in progress go on."""
        for follower in self._followers:
            follower.leave(now)
        member, times, durations = self.member, self._save_times, self._save_durations
        first = bisect_right(times, now)
        if first < len(times):
            member.busy_until = times[-1]
            member.saves.times.extend(times[first:])  # they end when it leads no more
            member.saves.columns[0].extend(durations[first:])
            del times[first:], durations[first:]

    def take_over(self, now: Nanoseconds, member: Member, followers: list[Follower], term: int, commits_in: Nanoseconds) -> None:
        """A member has been elected into a term: it goes on with what its log holds. followers: all others, as it reaches them.

        Comes after `leave`.

        commits_in: nanoseconds until its commit timer rings.
        """
        tails = {name: self._tail(name, now) for name in (*self._by_name, self.member.name)}
        end, pieces = tails[member.name]
        assert end.index >= self.handed, "a leader without something that was committed"
        self._lose(now, pieces)
        if member is not self.member:
            self._go_on(None, past=True)
            member.log.index = self.log.index
            self._backend.move(now, member.file, member.apply, commits_in)
        self._tails = {name: tail for name, tail in tails.items() if name != member.name}
        self._terms = {piece.ordinal: piece.term for piece in pieces}
        self._base, self._unsaved, self.term, self._stops_at = end.index, 0, term, member.next_stop(now)
        self._take(member, followers)
        self.leads = True
        self.changes += 1
        self.led.append((now, member.name))
        self.moved(member)
        self._first(max(now, member.busy_until), [piece.batch for piece in pieces], tails)

    def _lose(self, now: Nanoseconds, pieces: list[Piece]) -> None:
        """What the next leader does not have waits in vain; so does what its old leader never sent."""
        kept = {id(piece.batch) for piece in pieces}
        lost = [*self._orphans, *(flying[1] for flying in self._in_flight)]
        if self.leads:  # it does not know yet that it is deposed
            back = self.member.down.after(now)
            if back > now:
                self._held += self._inbox
                Alarm(self._env, self._resume).arm(back - now)
            else:
                lost.append(self._inbox)
            self._inbox = []
        self._orphans = [
            batch for batch in lost if id(batch) not in kept and any(not isinstance(entry, Ghost) for entry in batch)
        ]

    def _resume(self, _alarm: Alarm) -> None:
        """A member goes on that was paused: it passes on what its clients have sent it meanwhile."""
        held, self._held = self._held, []
        for entry in held:
            if isinstance(entry, Call):
                self.propose(entry)

    def _first(self, now: Nanoseconds, pending: list[Batch], tails: dict[str, tuple[Position, list[Piece]]]) -> None:
        """Append the empty entry of a new leader; with it, everything before it is committed."""
        self._note()
        for follower in self._followers:
            follower.noted_from = self._base + 1
        log = self.log
        log.index += 1
        size = wal.entry_frame(0, log.index, self.term)
        mean = log.written // max(self.batches, 1)
        self.batches += 1
        self._offset = self._base + 1 - self.batches
        sent = now + self._ready
        acks = []
        for follower in self._followers:
            lacks = self._base - tails[follower.member.name][0].index
            asked = sent + (self._rules.rtt if lacks > 0 else 0)
            behind = max(0, lacks) * mean
            if behind > MESSAGE:  # the first message alone, until it is acknowledged
                asked, behind = follower.append(asked, MESSAGE), behind - MESSAGE
            acked = follower.noted(asked, size + behind, -(-behind // MESSAGE) or 1)
            if follower.member.votes:
                acks.append(acked)
        log.write(size + wal.HARD_STATE_FRAME)
        committed = saved = self._sync(sent, size)
        self._save_times.append(saved)
        self._save_durations.append(saved - sent)
        if acks:
            committed = max(saved, sorted(acks)[self._quorum_ack])
        self._postponed.clear()
        self._in_flight, self._known = deque((committed, batch, saved, acks) for batch in [*pending, []]), 0
        self._rest(saved)

    def _begin(self, now: Nanoseconds) -> None:
        self.promoted(max(now, self._backend.free_at))
