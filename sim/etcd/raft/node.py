"""One member's part in deciding who leads: a plain state machine of ticks and messages.

    follower       hears of a leader, or counts ticks: after R of them without a word it stands for election, R drawn from [10, 19]
    pre-candidate  asks who would vote for it, in the next term, without entering that (since 3.5)
    candidate      has entered the term, voted for itself, and asks for votes
    leader         sends a heartbeat each tick; every 10 ticks it looks whether a quorum has answered, else it steps down

Who has heard of a leader within 10 ticks gives no vote to anybody (the leader's lease), so a member that was away cannot
disturb a cluster that works. In 3.4, without the pre-vote, it still can: it comes back with a higher term, which ends the lead of
whoever tells it of a lower one.

`term` never falls; in one term a member votes once; a vote goes only to a log that is at least as long. So there is at most one
leader a term, and it has every committed entry.

Source: go.etcd.io/raft raft.go (Step, stepLeader, stepCandidate, stepFollower, tickElection, tickHeartbeat, campaign, poll,
becomeFollower to becomeLeader, resetRandomizedElectionTimeout), as etcd uses it: CheckQuorum on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from sim.etcd.raft.messages import Kind, Message, Position

_ANSWER: Final = {Kind.VOTE: Kind.VOTE_RESP, Kind.PRE_VOTE: Kind.PRE_VOTE_RESP}


class Role(Enum):
    """What a member is in its term."""

    FOLLOWER = auto()
    PRE_CANDIDATE = auto()
    CANDIDATE = auto()
    LEADER = auto()


_POLLED: Final = {(Role.PRE_CANDIDATE, Kind.PRE_VOTE_RESP), (Role.CANDIDATE, Kind.VOTE_RESP)}


@dataclass(slots=True)
class Node:
    """A member in its term.

    voters: the names of all that vote. uniform: draws from [0, 1), for election timeouts. end: the end of its log as it is now.
    election: ticks of the election timeout.
    """

    name: str
    voters: Sequence[str]
    learners: Sequence[str]
    uniform: Callable[[], float]
    end: Callable[[], Position]
    election: int = 10
    pre_vote: bool = True
    term: int = 1
    vote: str | None = None
    lead: str | None = None
    role: Role = Role.FOLLOWER
    elapsed: int = 0
    """Ticks since it heard of the leader, campaigned, or looked at its quorum."""
    timeout: int = field(init=False)
    answered: set[str] = field(default_factory=set, init=False)
    """A leader's: who has answered since it last looked."""
    votes: dict[str, bool] = field(default_factory=dict, init=False)
    _out: list[Message] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._draw_timeout()

    @property
    def quorum(self) -> int:
        """How many voters are a majority."""
        return len(self.voters) // 2 + 1

    def tick(self) -> list[Message]:
        """A tick of its clock has passed: what it sends."""
        self.elapsed += 1
        if self.role is Role.LEADER:
            if self.elapsed >= self.election:
                self.elapsed = 0
                self._check_quorum()
            if self.role is Role.LEADER:
                self._heartbeats()
        elif self.elapsed >= self.timeout and self.name in self.voters:
            self.elapsed = 0
            self._campaign(self.pre_vote)
        return self._sent()

    def step(self, message: Message) -> list[Message]:
        """A message has come: what it answers."""
        if message.term > self.term:
            if message.kind in _ANSWER and self.lead is not None and self.elapsed < self.election:
                return []  # the leader's lease
            if message.kind is not Kind.PRE_VOTE and (message.kind is not Kind.PRE_VOTE_RESP or message.reject):
                self._follow(message.term, message.sender if message.kind is Kind.HEARTBEAT else None)
        elif message.term < self.term:
            if message.kind is Kind.HEARTBEAT:
                self._send(Kind.APP_RESP, message.sender, self.term)
            elif message.kind is Kind.PRE_VOTE:
                self._send(Kind.PRE_VOTE_RESP, message.sender, self.term, reject=True)
            return self._sent()
        if message.kind in _ANSWER:
            self._asked(message)
        elif message.kind is Kind.HEARTBEAT:
            self._heard(message)
        elif message.kind is Kind.HEARTBEAT_RESP:
            self.answered.add(message.sender)
        elif (self.role, message.kind) in _POLLED:
            self._poll(message)
        return self._sent()

    def hear(self) -> None:
        """An append of its leader has come (which carries nothing else that matters here)."""
        if self.role is Role.FOLLOWER and self.lead is not None:
            self.elapsed = 0

    def restart(self) -> None:
        """Its process starts again: term and vote are on disk, all else is forgotten."""
        self._follow(self.term, None)

    # ---- roles

    def lead_now(self) -> None:
        """It leads its term from the start (the world begins with a leader)."""
        self.role, self.lead, self.vote = Role.LEADER, self.name, self.name
        self.elapsed = 0
        self.answered = set()

    def follow_now(self, leader: str, elapsed: int) -> None:
        """It follows the leader of its term, of whom it heard so many ticks ago."""
        self.role, self.lead, self.elapsed = Role.FOLLOWER, leader, elapsed

    def _follow(self, term: int, lead: str | None) -> None:
        self._enter(term)
        self.role, self.lead = Role.FOLLOWER, lead

    def _enter(self, term: int) -> None:
        if term != self.term:
            self.term, self.vote = term, None
        self.lead, self.elapsed = None, 0
        self.votes, self.answered = {}, set()
        self._draw_timeout()

    def _draw_timeout(self) -> None:
        self.timeout = self.election + int(self.uniform() * self.election)

    def _campaign(self, ask_first: bool) -> None:
        if ask_first:
            self.role, self.lead, self.votes = Role.PRE_CANDIDATE, None, {}
            kind, term = Kind.PRE_VOTE, self.term + 1
        else:
            self._enter(self.term + 1)
            self.role, self.vote = Role.CANDIDATE, self.name
            kind, term = Kind.VOTE, self.term
        self.votes[self.name] = True
        if self.quorum == 1:
            self._won()
            return
        for voter in self.voters:
            if voter != self.name:
                self._send(kind, voter, term, self.end())

    def _poll(self, message: Message) -> None:
        self.votes.setdefault(message.sender, not message.reject)
        granted = sum(self.votes.values())
        if granted >= self.quorum:
            self._won()
        elif len(self.votes) - granted >= self.quorum:
            self._follow(self.term, None)

    def _won(self) -> None:
        if self.role is Role.PRE_CANDIDATE:
            self._campaign(False)
            return
        self._enter(self.term)
        self.role, self.lead, self.vote = Role.LEADER, self.name, self.name
        self._heartbeats()  # really the append of its first, empty entry

    def _check_quorum(self) -> None:
        active = {self.name} | (self.answered & set(self.voters))
        self.answered = set()
        if len(active) < self.quorum:
            self._follow(self.term, None)

    def _heartbeats(self) -> None:
        for name in (*self.voters, *self.learners):
            if name != self.name:
                self._send(Kind.HEARTBEAT, name, self.term)

    # ---- messages

    def _asked(self, message: Message) -> None:
        may = self.vote == message.sender or (self.vote is None and self.lead is None)
        may = may or (message.kind is Kind.PRE_VOTE and message.term > self.term)
        assert message.last is not None  # it is a candidate's
        granted = may and message.last >= self.end()
        if granted and message.kind is Kind.VOTE:
            self.elapsed, self.vote = 0, message.sender
        self._send(_ANSWER[message.kind], message.sender, message.term if granted else self.term, reject=not granted)

    def _heard(self, message: Message) -> None:
        if self.role is not Role.FOLLOWER:
            self._follow(message.term, message.sender)
        self.elapsed, self.lead = 0, message.sender
        self._send(Kind.HEARTBEAT_RESP, message.sender, self.term)

    def _send(self, kind: Kind, to: str, term: int, last: Position | None = None, reject: bool = False) -> None:
        self._out.append(Message(kind, self.name, to, term, last, reject))

    def _sent(self) -> list[Message]:
        sent, self._out = self._out, []
        return sent
