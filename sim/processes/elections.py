"""Ticks, heartbeats and votes of all members, simulated only while the lead may be lost.

Nothing can happen to the lead while saves are short, processes run and links work: then nobody counts ticks here. What may cost
it wakes this process: a batch that takes nearly an election timeout to be committed, a pause, a crash, a cut, a heartbeat that is
late on a lossy link. From then on every member ticks and messages travel one by one, until one leads, all that can hear it follow
it, and the trouble is over or changes nothing any more.

    awake    each member has its clock: ticks 100 ms apart, none while its process is down, one after a save of its Ready loop
    asleep   who leads is known. A member that nobody reaches goes on campaigning; what that made of its term is caught up at
             waking

Source: etcd server/etcdserver/raft.go (start: ticks, messages and saves in one goroutine; messages of followers and candidates
after the save), server.go (adjustTicks: a member that starts needs 8 ticks less). Simplified: ticks and heartbeats of a member
come at the same phase for its whole life; a vote costs the fdatasync of its record, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from sim.etcd import wal
from sim.etcd.follower import Follower
from sim.etcd.member import Member
from sim.etcd.raft.messages import Message, Position
from sim.etcd.raft.node import Node, Role
from sim.hardware.disk import NEVER
from sim.hardware.route import GIVEN_UP, Gaps, Route
from sim.processes.events import Alarm, Clock
from sim.processes.lead import FIRST_TERM, Lead
from sim.units import SECOND, Nanoseconds

_SKIPPED: Final = 8
"""Ticks that a member of a cluster is spared as it starts (server.go adjustTicks)."""


@dataclass(frozen=True, slots=True)
class ElectionRules:
    """tick: nanoseconds; election: ticks of the election timeout; pre_vote: whether a candidate asks first."""

    tick: Nanoseconds
    election: int
    pre_vote: bool


class Elections:
    """Decides who leads. routes: from one member to another. uniform: draws from [0, 1).

    followers: all members but one, as that one, which leads from a time on, reaches them. commits_in: draws how long it is until
    its commit timer rings, nanoseconds. database: how long a member (of the one that leads) needs for a whole database where it
    lacks so many entries; 0 where the log has them.
    """

    def __init__(
        self, env: Clock, lead: Lead, members: Mapping[str, Member], routes: Mapping[tuple[str, str], Route],
        followers: Callable[[str, Nanoseconds], list[Follower]], rules: ElectionRules, uniform: Callable[[], float],
        commits_in: Callable[[], Nanoseconds], database: Callable[[str, str, int], Nanoseconds],
        incident: Callable[[Nanoseconds, str, str], None],
    ):  # fmt: skip
        self._env, self._lead, self._members, self._routes, self._rules = env, lead, members, routes, rules
        self._followers, self._commits_in, self._database, self._incident = followers, commits_in, database, incident
        self._away: dict[str, int] = {}  # entries there were when a member was last reached
        self.awake = False
        self.leaderless: Nanoseconds = 0
        """Time from the trouble that cost the lead to the next leader, summed."""
        self._troubled_at: Nanoseconds = 0
        self._slept_at: Nanoseconds = 0
        voters = [name for name, member in members.items() if member.votes]
        learners = [name for name, member in members.items() if not member.votes]
        self.nodes = {
            name: Node(
                name, voters, learners, uniform, partial(self._end, name), rules.election, rules.pre_vote, FIRST_TERM
            )
            for name in members
        }  # fmt: skip
        self._phase = {name: int(uniform() * rules.tick) for name in members}
        self._heard = dict.fromkeys(members, -1)
        self._last_arrival: dict[tuple[str, str], Nanoseconds] = {}
        self._alarms = {name: Alarm(env, partial(self._tick, name)) for name in members}
        for node in self.nodes.values():
            node.follow_now(lead.member.name, 0)
        self.nodes[lead.member.name].lead_now()
        lead.doubted = self._doubt
        self._moments: list[Nanoseconds] = []
        self._moment = Alarm(env, self._happens)
        self._late: dict[tuple[str, str], Nanoseconds] = {}
        self._gaps: list[tuple[str, str, Gaps]] = []

    def _end(self, name: str) -> Position:
        return self._lead.end(name, self._env._now)

    # ---- what wakes it

    def expect(self, moments: list[Nanoseconds], gaps: list[tuple[str, str, Gaps]]) -> None:
        """At these moments something happens to a process or a link; and so late are heartbeats on lossy ways."""
        self._moments = sorted({*moments, *(ends for route in self._routes.values() for ends in route.ends)}, reverse=True)
        self._gaps = gaps
        if self._moments:
            self._moment.arm(self._moments[-1] - self._env._now)
        for place in range(len(gaps)):
            self._await_gap(place, 0)

    def _happens(self, _alarm: Alarm) -> None:
        now = self._moments.pop()
        if self._moments:
            self._moment.arm(self._moments[-1] - now)
        leader = self._lead.member.name
        for name, member in self._members.items():
            for begins, ends, crash in member.stops:
                if begins == now:
                    self._stops(name, now, member.down.after(now), crash)
                if ends == now and crash and not member.crashed(now):
                    self._restart(name, now)
        silences = [route.silence(now) for pair, route in self._routes.items() if leader in pair]
        cut = [ends for begins, ends in silences if begins == now < ends]
        if cut and not self._unsettled:
            self._troubled_at = now
        aimed = [ends for ends in cut if ends not in self._moments]
        self._moments = sorted({*self._moments, *aimed}, reverse=True)
        if aimed:
            self._moment = Alarm(self._env, self._happens)
            self._moment.arm(self._moments[-1] - now)
        self._catch_up(now)
        self.wake(now)

    def _catch_up(self, now: Nanoseconds) -> None:
        """Who comes back gets what it lacks, by the log or by a whole database."""
        leader, entries = self._lead.member.name, self._lead.entries
        for name in self.nodes:
            if name == leader:
                self._away.pop(name, None)
            elif self._unreachable(leader, name, now):
                self._away.setdefault(name, entries)
            elif name in self._away:
                lacks = entries - self._away.pop(name)
                takes = self._database(leader, name, lacks)
                if takes:
                    self._lead.send_database(name, now, now + takes)
                    about = f"{name} lacks {lacks:,} entries and gets the whole database, which takes {takes / SECOND:.2f} s"
                    self._incident(now, "snapshot", about)

    def _stops(self, name: str, now: Nanoseconds, until: Nanoseconds, crash: bool) -> None:
        lead = self._lead
        if name != lead.member.name:
            return
        if lead.leads:
            self._troubled_at = now
        if crash:
            lead.crash(now)
        else:
            lead.pause(now, until)

    def _restart(self, name: str, now: Nanoseconds) -> None:
        """The process of a member starts again: it remembers its term and its vote."""
        node = self.nodes[name]
        node.restart()
        self._incident(now, "member_back", f"{name} is back")
        if len(self.nodes) > 1:
            node.elapsed = min(_SKIPPED, node.timeout - 1)
            return
        node.elapsed = node.timeout - 1
        Alarm(self._env, lambda _alarm: self._react(node, self._env._now, node.tick)).arm(self._rules.tick)

    def _await_gap(self, place: int, now: Nanoseconds) -> None:
        one, other, gaps = self._gaps[place]
        begins, ends = gaps.next(now)
        if begins < NEVER:
            Alarm(self._env, lambda _alarm: self._gap(place, (one, other), ends)).arm(begins - self._env._now)

    def _gap(self, place: int, pair: tuple[str, str], ends: Nanoseconds) -> None:
        now: Nanoseconds = self._env._now
        if self._lead.member.name in pair and self._lead.leads and all(until <= now for until in self._late.values()):
            self._troubled_at = now
        self._late[pair] = max(ends, self._late.get(pair, 0))
        self._await_gap(place, now + 1)
        if self._lead.member.name in pair:
            self.wake(now)

    def _doubt(self, now: Nanoseconds, saved: Nanoseconds) -> None:
        if self.awake and saved - now > self._rules.tick * (self._rules.election - 1):
            self._troubled_at = now
        self.wake(now)

    @property
    def _unsettled(self) -> bool:
        """Whether the lead is in doubt already."""
        return not self._lead.leads

    # ---- asleep and awake

    def wake(self, now: Nanoseconds) -> None:
        """The lead may be lost from now on: everybody ticks."""
        if self.awake or len(self.nodes) == 1:
            return
        self.awake = True
        self._troubled_at = now
        self._lead.watch()
        leader = self._lead.member.name
        beat = self._last_tick(leader, now)
        for name, node in self.nodes.items():
            if self._cut_off(name, self._slept_at, now):
                self._campaigned(node, now)
            elif name == leader:
                node.elapsed = (beat - self._phase[name]) // self._rules.tick % self._rules.election
                node.answered = set(self.nodes)
            else:
                node.elapsed = self._ticks_since(name, beat, now + 1)
                self._heard[name] = max(self._heard[name], beat)
            self._next_tick(name, now)

    def _last_tick(self, name: str, now: Nanoseconds) -> Nanoseconds:
        tick, phase = self._rules.tick, self._phase[name]
        return (now - phase) // tick * tick + phase

    def _ticks_since(self, name: str, since: Nanoseconds, now: Nanoseconds) -> int:
        """How often a member's clock has ticked after `since` and before now."""
        tick, phase = self._rules.tick, self._phase[name]
        return max(0, (now - 1 - phase) // tick - (since - phase) // tick)

    def _cut_off(self, name: str, since: Nanoseconds, now: Nanoseconds) -> bool:
        """Whether nobody could reach a member since then."""
        node = self.nodes[name]
        return node.role is not Role.LEADER and node.lead is None and since > 0 and now > since

    def _campaigned(self, node: Node, now: Nanoseconds) -> None:
        """What a member that reaches nobody has done while nobody looked."""
        if self._members[node.name].down.after(self._slept_at) > self._slept_at:
            return
        for _ in range((now - self._slept_at) // self._rules.tick):
            node.tick()

    def _settled(self, now: Nanoseconds) -> bool:
        """Whether nothing that goes on now can change who leads."""
        lead = self._lead
        leader = self.nodes[lead.member.name]
        if not lead.leads or leader.role is not Role.LEADER or lead.saving(leader.name, now) - now > self._rules.tick:
            return False
        if lead.slow_until - now > self._rules.tick * (self._rules.election - 1):
            return False
        reached = 1
        if any(until > now for until in self._late.values()):
            return False
        for name, node in self.nodes.items():
            if name == leader.name:
                continue
            if self._unreachable(leader.name, name, now):
                if node.lead is not None and self._members[name].down.after(now) == now:
                    return False  # it has not found out yet
                continue
            if node.lead != leader.name or node.term != leader.term or node.role is not Role.FOLLOWER:
                return False
            reached += self._members[name].votes
        return reached >= leader.quorum

    def _unreachable(self, leader: str, name: str, now: Nanoseconds) -> bool:
        down = self._members[name].down.after(now) > now
        return down or any(self._routes[pair].silence(now)[1] > now for pair in ((leader, name), (name, leader)))

    def _sleep(self, now: Nanoseconds) -> None:
        self.awake = False
        self._slept_at = now

    # ---- clocks

    def _next_tick(self, name: str, now: Nanoseconds) -> None:
        at = self._last_tick(name, now) + self._rules.tick
        alarm = self._alarms[name]
        if not alarm.armed:
            alarm.arm(at - now)

    def _tick(self, name: str, _alarm: Alarm) -> None:
        now: Nanoseconds = self._env._now
        if not self.awake:
            return
        member, node = self._members[name], self.nodes[name]
        back = max(member.down.after(now), self._lead.saving(name, now))
        if back > now:  # a ticker keeps one tick for whoever is late
            self._alarms[name].arm(back - now)
            return
        self._hear(node, now)
        self._react(node, now, node.tick)
        if name == self._lead.member.name and node.role is Role.LEADER and self._settled(now):
            self._sleep(now)
            return
        self._next_tick(name, now)

    def _hear(self, node: Node, now: Nanoseconds) -> None:
        """What is replicated tells a member that its leader is there, too."""
        name, leader = node.name, self._lead.member.name
        if name == leader or node.lead != leader:
            return
        heard = self._lead.told(name, now)
        if heard > self._heard[name]:
            self._heard[name] = heard
            node.elapsed = min(node.elapsed, self._ticks_since(name, heard, now))

    # ---- messages

    def _react(self, node: Node, now: Nanoseconds, act: Callable[[], list[Message]]) -> None:
        """Let a member act, send what it says, and see whether the lead has changed with it."""
        led, term, vote = node.role is Role.LEADER, node.term, node.vote
        messages = act()
        leads = node.role is Role.LEADER
        if led and not leads and node.name == self._lead.member.name and self._lead.leads:
            self._lead.step_down(now)
            self._incident(now, "leader_lost", f"{node.name} leads no more: {self._why(node, term)}")
        sent = max(now, self._lead.saving(node.name, now))
        if leads and not led:
            self._won(node, now)
        elif (node.term, node.vote) != (term, vote) and messages:
            sent = self._save_vote(node.name, sent)
        for message in messages:
            self._send(message, sent)

    def _why(self, node: Node, term: int) -> str:
        if node.term > term:
            return f"it heard of term {node.term}"
        return "too few members have answered for an election timeout"

    def _save_vote(self, name: str, now: Nanoseconds) -> Nanoseconds:
        """Term and vote are on disk before anybody hears of them."""
        member = self._members[name]
        member.log.write(wal.HARD_STATE_FRAME)
        saved = member.wal.sync(now, wal.HARD_STATE_FRAME)
        if not member.saves.times or member.saves.times[-1] <= saved:
            member.saves.times.append(saved)
            member.saves.columns[0].append(saved - now)
        return saved

    def _send(self, message: Message, sent: Nanoseconds) -> None:
        pair = message.sender, message.to
        arrives = self._routes[pair].delivers(sent)
        if arrives == NEVER:
            return
        arrives = self._last_arrival[pair] = max(arrives, self._last_arrival.get(pair, 0), self._late.get(pair, 0))
        Alarm(self._env, lambda _alarm: self._deliver(message)).arm(arrives - self._env._now)

    def _deliver(self, message: Message) -> None:
        now: Nanoseconds = self._env._now
        member, node = self._members[message.to], self.nodes[message.to]
        back = member.down.after(now)
        if back > now:
            if not member.crashed(now) and back - now < GIVEN_UP:
                Alarm(self._env, lambda _alarm: self._deliver(message)).arm(back - now)
            return
        self._hear(node, now)
        self._react(node, now, partial(node.step, message))

    # ---- what comes of it

    def _won(self, node: Node, now: Nanoseconds) -> None:
        lead, name = self._lead, node.name
        old = lead.member.name
        if lead.leads:
            self._incident(now, "leader_lost", f"{old} is deposed; it does not know yet")
        without = now - max(self._troubled_at, lead.stuck_since)
        self.leaderless += without
        lead.leave(now)
        lead.take_over(now, self._members[name], self._followers(name, now), node.term, self._commits_in())
        self._incident(now, "leader_elected", f"{name} leads in term {node.term}, {without / SECOND:.2f} s after the trouble began")
