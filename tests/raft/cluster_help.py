"""A cluster under faults, and what must be true of it whatever happens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

from sim.assembly import World, build
from sim.etcd.raft.node import Role
from sim.etcd.request import Outcome
from sim.processes.events import Call, Ghost
from sim.processes.lead import Lead
from sim.scenario import Scenario, from_dict
from sim.units import SECOND, Nanoseconds

DISK = {"fdatasync": {"median": "1ms", "p99": "4ms"}, "bandwidth": "110MB/s"}
_REFUSED = (Outcome.TIMEOUT, Outcome.UNAVAILABLE)


def cluster(
    faults: Mapping[str, Any], horizon: str = "20s", members: int | dict[str, Any] = 3, clients: int = 6, **etcd: Any
) -> Scenario:
    if isinstance(members, int):
        members = {name: {"disk": DISK} for name in "abcdefg"[:members]}
    return from_dict(
        {
            "horizon": horizon,
            "etcd": {"members": members, "compaction": {"by": "never"}, **etcd},
            "apiservers": {},
            "clients": {"load": {"clients": clients, "think": {"median": "10ms", "p99": "60ms"}}},
            "faults": dict(faults),
        }
    )


Key = tuple[int, Nanoseconds]
"""A request: its caller, who has one at a time, and when it arrived."""


class Seen:
    """A run, with every hand-over and every answer; see `check`."""

    def __init__(self, scenario: Scenario, seed: int = 1):
        self.world: World = build(scenario, seed)
        self.world.leader.watch()
        self.handed: list[tuple[Nanoseconds, int, int, list[Key]]] = []
        """When, in which term, how many voters had the batch, and the requests in it."""
        self.answers: dict[Key, tuple[Nanoseconds, Outcome]] = {}
        self.leaders: dict[int, set[str]] = {}
        self._ghosts: dict[int, tuple[Ghost, Key]] = {}
        hand_over, answer, init, voters = Lead._hand_over, Call.answer, Ghost.__init__, scenario.etcd.voters

        def handed(lead: Lead, now: Nanoseconds, batch: list[Any]) -> None:
            holders = sum(lead.end(name, now).index >= lead.handed for name in voters)
            self.handed.append((now, lead.term, holders, [self._key(entry) for entry in batch]))
            hand_over(lead, now, batch)

        def answered(call: Call, now: Nanoseconds, at: Nanoseconds) -> None:
            key = self._key(call)
            assert key not in self.answers, "answered twice"
            self.answers[key] = at, call.outcome
            answer(call, now, at)

        def ghost(made: Ghost, call: Call) -> None:
            init(made, call)
            self._ghosts[id(made)] = made, self._key(call)

        with (
            patch.object(Lead, "_hand_over", handed),
            patch.object(Call, "answer", answered),
            patch.object(Ghost, "__init__", ghost),
        ):
            for until in range(SECOND // 10, scenario.horizon + 1, SECOND // 10):
                self.world.env.advance(until)
                for node in self.world.elections.nodes.values():
                    if node.role is Role.LEADER:
                        self.leaders.setdefault(node.term, set()).add(node.name)

    def _key(self, entry: Any) -> Key:
        return self._ghosts[id(entry)][1] if isinstance(entry, Ghost) else (id(entry), entry.arrives)

    def check(self) -> None:
        """Nothing that was answered is lost, nothing is applied twice, the order is kept, one leads a term, a quorum has it all."""
        applied = [key for *_, entries in self.handed for key in entries]
        assert len(set(applied)) == len(applied), "applied twice"
        done = {key for key, (_, outcome) in self.answers.items() if outcome not in _REFUSED}
        assert done <= set(applied), "acknowledged and lost"
        quorum = sum(member.votes for member in self.world.members.values()) // 2 + 1
        assert all(holders >= quorum for _, _, holders, _ in self.handed), "committed without a quorum"
        terms = [term for _, term, _, _ in self.handed]
        assert terms == sorted(terms)
        assert all(len(names) == 1 for names in self.leaders.values()), "two leaders in a term"
        mvcc = self.world.backend.mvcc
        assert mvcc.revision - 1 == mvcc.keys_live == len(applied)
