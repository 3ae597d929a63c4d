"""Who leads: one member's part, by what it answers; and many of them, however their messages travel."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.etcd.raft.messages import Kind, Message, Position
from sim.etcd.raft.node import Node, Role

NAMES = "abcdefg"
END = Position(2, 5)


def member(name: str, size: int = 3, end: Position = END, **more: object) -> Node:
    more.setdefault("term", 2)
    return Node(name, NAMES[:size], [], lambda: 0.0, lambda: end, **more)  # type: ignore[arg-type]


def following(name: str = "b", heard: int = 0, **more: object) -> Node:
    node = member(name, **more)  # type: ignore[arg-type]
    node.follow_now("a", heard)
    return node


def told(messages: list[Message]) -> list[tuple[Kind, str, int, bool]]:
    return [(message.kind, message.to, message.term, message.reject) for message in messages]


def ask(kind: Kind, term: int, last: Position = END) -> Message:
    return Message(kind, "c", "b", term, last)


def test_a_follower_that_hears_nothing_asks_first_and_then_stands() -> None:
    node = following()
    for _ in range(9):
        assert node.tick() == []
    assert told(node.tick()) == [(Kind.PRE_VOTE, "a", 3, False), (Kind.PRE_VOTE, "c", 3, False)]
    assert (node.role, node.term) == (Role.PRE_CANDIDATE, 2)
    votes = node.step(Message(Kind.PRE_VOTE_RESP, "c", "b", 3))
    assert told(votes) == [(Kind.VOTE, "a", 3, False), (Kind.VOTE, "c", 3, False)]
    beats = node.step(Message(Kind.VOTE_RESP, "c", "b", 3))
    assert told(beats) == [(Kind.HEARTBEAT, "a", 3, False), (Kind.HEARTBEAT, "c", 3, False)]
    assert (node.role, node.term, node.vote) == (Role.LEADER, 3, "b")


def test_before_3_5_it_stands_at_once() -> None:
    node = following(pre_vote=False)
    sent = [message for _ in range(10) for message in node.tick()]
    assert told(sent) == [(Kind.VOTE, "a", 3, False), (Kind.VOTE, "c", 3, False)]


@pytest.mark.parametrize("kind", [Kind.VOTE, Kind.PRE_VOTE])
@pytest.mark.parametrize(("heard", "answers"), [(9, False), (10, True)])
def test_who_has_heard_of_a_leader_lately_does_not_even_answer(kind: Kind, heard: int, answers: bool) -> None:
    node = following(heard=heard)
    assert bool(node.step(ask(kind, 3))) == answers
    assert node.term == (3 if answers and kind is Kind.VOTE else 2)


@pytest.mark.parametrize(
    ("last", "granted"),
    [(Position(2, 5), True), (Position(2, 6), True), (Position(2, 4), False), (Position(3, 1), True), (Position(1, 9), False)],
)
def test_a_vote_goes_only_to_a_log_that_is_at_least_as_long(last: Position, granted: bool) -> None:
    for kind in (Kind.PRE_VOTE, Kind.VOTE):
        assert [answer.reject for answer in following(heard=10).step(ask(kind, 3, last))] == [not granted]


def test_it_votes_once_in_a_term() -> None:
    node = following(heard=10)
    assert not node.step(ask(Kind.VOTE, 3))[0].reject
    assert node.step(Message(Kind.VOTE, "a", "b", 3, Position(2, 9)))[0].reject
    assert not node.step(ask(Kind.VOTE, 3))[0].reject  # the same one asks again


def test_a_leader_without_a_quorum_steps_down_after_ten_ticks() -> None:
    leader = member("a")
    leader.lead_now()
    for tick in range(1, 31):
        if tick % 10 == 5 and tick < 20:
            leader.step(Message(Kind.HEARTBEAT_RESP, "b", "a", 2))
        leader.tick()
        assert leader.role is (Role.LEADER if tick < 30 else Role.FOLLOWER)


def test_a_leader_in_an_old_term_is_told_so_and_steps_down() -> None:
    newer = following(term=4)
    answer = newer.step(Message(Kind.HEARTBEAT, "c", "b", 3))
    assert told(answer) == [(Kind.APP_RESP, "c", 4, False)]
    old = member("c", term=3)
    old.lead_now()
    old.step(answer[0])
    assert (old.role, old.term, old.lead) == (Role.FOLLOWER, 4, None)


def test_a_member_that_was_away_disturbs_nobody_but_in_3_4() -> None:
    for pre_vote in (True, False):
        away, leader = following(pre_vote=pre_vote), member("a", pre_vote=pre_vote)
        leader.lead_now()
        for _ in range(100):
            away.tick()  # and nobody hears it
        for answer in away.step(Message(Kind.HEARTBEAT, "a", "b", 2)):
            leader.step(answer)
        assert leader.role is (Role.LEADER if pre_vote else Role.FOLLOWER)


class Wild:
    """Members whose messages are lost, late, twice and out of order, and whose logs grow by appends of who leads."""

    def __init__(self, seed: int, size: int, pre_vote: bool, node: type[Node] = Node):
        self.random = random.Random(seed)
        self.logs: dict[str, list[int]] = {name: [1] for name in NAMES[:size]}
        self.nodes = {
            name: node(name, NAMES[:size], [], self.random.random, self._end(name), pre_vote=pre_vote) for name in NAMES[:size]
        }
        self.network: list[Message] = []
        self.committed: list[int] = [1]
        self.leaders: dict[int, str] = {}
        self.away = ""

    def _end(self, name: str) -> Callable[[], Position]:
        return lambda: Position(self.logs[name][-1], len(self.logs[name]))

    def run(self, steps: int) -> None:
        for step in range(steps):
            if step % 100 == 0:
                self.away = self.random.choice(list(self.nodes))  # nobody reaches it for a while
            chance = self.random.random()
            node = self.nodes[self.random.choice(list(self.nodes))]
            if chance < 0.5:
                self.network += node.tick()
            elif chance < 0.9:
                if not self.network:
                    continue
                message = self.network[place := self.random.randrange(len(self.network))]
                if self.random.random() < 0.9:
                    del self.network[place]
                if self.random.random() < 0.9 and self.away not in (message.sender, message.to):
                    self.network += self.nodes[message.to].step(message)
            elif chance < 0.91:
                node.restart()
            elif node.role is Role.LEADER:
                self._append(node)
            self._look()

    def _append(self, leader: Node) -> None:
        """One entry more, and to a random quorum at once; who is in a later term refuses."""
        mine = self.logs[leader.name]
        mine.append(leader.term)
        reached = [self.nodes[name] for name in self.logs if name != leader.name and self.random.random() < 0.6]
        reached = [node for node in reached if self.away not in (node.name, leader.name)]
        took = [node for node in reached if node.term <= leader.term]
        for node in took:
            self.network += node.step(Message(Kind.HEARTBEAT, leader.name, node.name, leader.term))
            self.logs[node.name] = list(mine)
        if len(took) + 1 >= leader.quorum:
            assert mine[: len(self.committed)] == self.committed, "a leader without something that was committed"
            self.committed = list(mine)

    def _look(self) -> None:
        for node in self.nodes.values():
            if node.role is Role.LEADER:
                assert self.leaders.setdefault(node.term, node.name) == node.name, "two leaders in a term"


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.sampled_from([1, 3, 4, 5, 7]), pre_vote=st.booleans())
def test_there_is_one_leader_a_term_and_it_has_what_was_committed(seed: int, size: int, pre_vote: bool) -> None:
    Wild(seed, size, pre_vote).run(800)


class Generous(Node):
    """Votes for any log."""

    def _asked(self, message: Message) -> None:
        end, self.end = self.end, lambda: Position(0, 0)
        super()._asked(message)
        self.end = end


class Forgetful(Node):
    """Forgets its vote when it starts again."""

    def restart(self) -> None:
        super().restart()
        self.vote = None


@pytest.mark.parametrize("broken", [Generous, Forgetful])
def test_a_mistake_is_found_out(broken: type[Node]) -> None:
    def many() -> None:
        for seed in range(300):
            Wild(seed, 3, False, broken).run(1500)

    with pytest.raises(AssertionError):
        many()
