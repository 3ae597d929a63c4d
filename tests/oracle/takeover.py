"""The oracle of `model.py` with a change of leader: the first one crashes for good, another one is elected.

Who wins, when, and when who voted is given (tests/raft has elections); what becomes of the log and of all requests is not: each
member has the batches that have reached it.

    crash      what nobody has answered by then is told UNAVAILABLE at once; messages under way arrive
    take-over  who leads has what has reached it; saves that have begun end, others do not begin; it appends an empty entry, and
               with that everything before it is committed; who lacks something is asked for the end of its log first

Simplified, as in the model under test: clients go on with the new leader at once, and wait there while nobody leads.
"""

from __future__ import annotations

from itertools import chain

from oracle.model import Disk, Etcd, Follower, Log, Mailbox, Process
from simpy import Process as Running
from simpy import Resource

from sim.etcd import wal
from sim.scenario import Scenario
from sim.units import Bytes, Nanoseconds

Votes = list[tuple[Nanoseconds, str]]


class Succession(Etcd):
    """A cluster whose first leader crashes. leads: who is elected, at what time; voted: when a vote was saved, and whose."""

    def __init__(self, scenario: Scenario, seed: int, crashes: Nanoseconds, leads: str, at: Nanoseconds, voted: Votes):
        super().__init__(scenario, seed)
        self._leads = leads
        self.env.process(self._succeed(crashes, at))
        disks = {name: follower.disk for name, follower in self.followers.items()}
        for when, name in voted:
            self.env.process(self._vote(when, disks[name]))

    def _vote(self, at: Nanoseconds, disk: Disk) -> Process:
        """A vote takes a time of its own from the member's disk, and nobody waits for it."""
        yield self.env.timeout(at)
        disk.draw()

    def _succeed(self, crashes: Nanoseconds, at: Nanoseconds) -> Process:
        env = self.env
        yield env.timeout(crashes)
        for process in self._at_work:
            _kill(process)
        self._inbox.messages.clear()
        if self._packing:  # a batch that never left has used up its draws, and nothing else
            self.log.batches.pop()
            self.batches -= 1
            for follower in self.followers.values():
                follower.draw()
        for request in self.requests:
            request.tell("UNAVAILABLE")
        yield env.timeout(at - env.now)
        first, before = self.followers.pop(self._leads), self.followers
        pending = self.log.batches[self._surfaced : first.has]
        for follower in (first, *before.values()):
            follower.serves = False
        if first.saving is not None:
            yield first.saving
        index, term_bytes = self.log.index, wal.entry_frame(0, self.log.index + 1, 3)
        self.log, self.wal = Log(self._etcd.segment_size, len(self.followers) + 1), first.disk
        self.log.index = index + 1
        self.log.batches.append(list(chain(*pending)))
        self.batches += 1
        self.followers = {
            name: self._follower(self._leads, name, number, known) for number, (name, known) in enumerate(before.items())
        }
        self._apply_cost = self._delays(self._costs.apply, f"etcd.{self._leads}.apply")
        self._to_apply, self._lock, self._applied = Mailbox(env), Resource(env), self._handed
        env.process(self._applier())
        yield env.timeout(self._costs.ready)
        for name, follower in self.followers.items():
            env.process(self._tell(follower, term_bytes, before[name].has < first.has))
        yield from self.wal.sync(term_bytes)
        self.log.saved = 1
        env.process(self._ready_loop())

    def _tell(self, follower: Follower, size: Bytes, lacks: bool) -> Process:
        if lacks:
            yield self.env.timeout(self._etcd.network.rtt)
        follower.send(1, size, 1)


def _kill(process: Running) -> None:
    """It does nothing any more."""
    if process.is_alive and process.target is not None and process.target.callbacks is not None:
        process.target.callbacks.remove(process._resume)
