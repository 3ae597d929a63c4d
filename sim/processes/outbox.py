"""What a following member sends its leader of its own accord: proposals of its clients and questions for the index.

It leaves in the next turn of the member's Ready loop: at once where that is idle; else in the turn after the save in progress,
and, where that turn has entries to save, after its save.

Source: etcd server/etcdserver/raft.go (start: a follower sends after its save). Simplified: what leaves together is one message.
"""

from __future__ import annotations

from collections.abc import Callable

from sim.hardware.disk import NEVER
from sim.hardware.route import Route
from sim.processes.events import Alarm, Clock
from sim.processes.lead import Lead
from sim.units import Nanoseconds

Act = Callable[[], None]


class Outbox:
    """Of one member. routes: from one member to another, by their names."""

    def __init__(self, env: Clock, lead: Lead, name: str, routes: Callable[[str, str], Route]):
        self._env, self._lead, self._name, self._routes = env, lead, name, routes
        self._waiting: list[tuple[Act, Act]] = []
        self._turn_comes = Alarm(env, self._turn)
        self._last_arrival: Nanoseconds = 0

    def send(self, deliver: Act, lost: Act) -> None:
        """`deliver` is called when this is at the leader, `lost` when it will not be."""
        self._waiting.append((deliver, lost))
        if not self._turn_comes.armed:
            self._turn()

    def _turn(self, _alarm: Alarm | None = None) -> None:
        now: Nanoseconds = self._env._now
        begins, ends = self._lead.save_at(self._name, now)
        if begins < now < ends:
            self._turn_comes.arm(ends - now)
            return
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        leader = self._lead.member
        arrives = NEVER
        if self._lead.leads and leader.name != self._name:
            arrives = self._routes(self._name, leader.name).delivers(ends)
        if arrives < NEVER:
            arrives = max(leader.down.after(max(arrives, self._last_arrival)), ends)
        if arrives >= NEVER or leader.crash_between(now, arrives + 1) is not None:
            for _, lost in waiting:
                lost()
            return
        self._last_arrival = arrives
        Alarm(self._env, lambda _alarm: self._arrive(waiting)).arm(arrives - now)

    def back(self, sent: Nanoseconds) -> Nanoseconds:
        """When an answer of the leader that leaves at `sent` is here; NEVER where it does not come."""
        return self._routes(self._lead.member.name, self._name).delivers(sent)

    def _arrive(self, messages: list[tuple[Act, Act]]) -> None:
        for deliver, lost in messages:
            (deliver if self._lead.leads else lost)()
