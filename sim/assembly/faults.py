"""When what goes wrong: the calendars of a run, drawn in the time domain, so that two variants meet the same faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal

from sim.assembly.ground import Ground
from sim.scenario import links
from sim.scenario.faults import LEADER, Fault
from sim.scenario.machines import Device, File, device
from sim.units import Nanoseconds, seconds

Spell = tuple[Nanoseconds, Nanoseconds]
"""From when until when, nanoseconds."""
Led = Sequence[Spell]
"""When a member led."""
_TO_MEMBERS: Final = frozenset({"pause", "crash", "partition", "loss"})
_SAID: Final = {
    "disk_stall": "the disk of {} freezes",
    "pause": "the process of {} is paused",
    "crash": "{} crashes and is back",
    "partition": "{} is cut off",
    "loss": "{} loses segments",
    "apiserver_outage": "{} does not listen",
    "apiserver_slow": "{} is slow",
    "webhook_failure": "{} fails",
    "reconcile_failure": "{} cannot reconcile",
}


class Calendars:
    """When each fault of the scenario begins and ends, up to `until` nanoseconds."""

    def __init__(self, ground: Ground, until: Nanoseconds):
        self._ground, self._scenario, self._until = ground, ground.scenario, until
        self._own_stalls: dict[str, list[Spell]] = {}  # by device
        self.spells = {name: self._drawn(name, fault, until) for name, fault in self._scenario.faults.items()}

    def _drawn(self, name: str, fault: Fault, until: Nanoseconds) -> list[Spell]:
        at = fault.at or 0
        if fault.every is None:
            return [(at, at + fault.for_)]
        gap = self._ground.gap(fault.every, f"faults.{name}")
        drawn: list[Spell] = []
        while (at := at + max(1, gap())) < until:
            drawn.append((at, at + fault.for_))
        return drawn

    def _of(self, *kinds: str) -> Iterator[tuple[Fault, list[Spell]]]:
        for name, fault in self._scenario.faults.items():
            if fault.kind in kinds:
                yield fault, self.spells[name]

    @property
    def among_members(self) -> bool:
        """Whether anything ever happens to a member's process or to the links between them."""
        return any(fault.kind in _TO_MEMBERS for fault in self._scenario.faults.values())

    def outages(self, apiserver: str) -> list[Spell]:
        """When nobody listens at the API servers of a name."""
        found = (spell for fault, spells in self._of("apiserver_outage") if fault.victim == apiserver for spell in spells)
        return sorted(found)

    def stalls(self, member: str, file: File, led: Led) -> list[Spell]:
        """When the disk under a file of a member is frozen; of what is aimed at the leader, what began while it led."""
        on = device(self._scenario, member, file)
        found = list(self._own(on))
        for fault, spells in self._of("disk_stall"):
            if fault.target == on.name or fault.hits(member, file):
                found += spells
            elif fault.hits_leader(file):
                found += _begun(spells, led)
        return found

    def stops(self, member: str, led: Led) -> list[tuple[Nanoseconds, Nanoseconds, bool]]:
        """When the process of a member does nothing, and whether it has crashed; of what is aimed at the leader as for stalls."""
        found: list[tuple[Nanoseconds, Nanoseconds, bool]] = []
        for fault, spells in self._of("pause", "crash"):
            if fault.target == f"members.{member}":
                found += [(*spell, fault.kind == "crash") for spell in spells]
            elif fault.target == LEADER:
                found += [(*spell, fault.kind == "crash") for spell in _begun(spells, led)]
        return sorted(found)

    def cuts(self, one: str, other: str, led: Led = (), other_led: Led = ()) -> list[Spell]:
        """When nothing gets from one member to another, which led at those times."""
        found: list[Spell] = []
        for fault, spells in self._of("partition"):
            if self._between(fault, one, other):
                found += spells
            elif LEADER in (fault.members or ()):
                mine = () if other in (fault.members or ()) else _begun(spells, led)
                found += {*mine, *(() if one in (fault.members or ()) else _begun(spells, other_led))}
        return sorted(found)

    def losses(self, one: str, other: str) -> list[tuple[Nanoseconds, Nanoseconds, float]]:
        """When more than usual is lost between two members, and which share."""
        return sorted(
            (*spell, fault.rate or 0.0)
            for fault, spells in self._of("loss") if self._between(fault, one, other) for spell in spells
        )  # fmt: skip

    def slowness(self, apiserver: str, now: Callable[[], Nanoseconds]) -> Callable[[], Nanoseconds] | None:
        """What a request that begins now takes longer at the API servers of a name; None where that is always nothing."""
        slow = [
            (*spell, fault.adds or 0)
            for fault, spells in self._of("apiserver_slow") if fault.victim == apiserver for spell in spells
        ]  # fmt: skip
        return (lambda: sum(adds for begins, ends, adds in slow if begins <= now() < ends)) if slow else None

    def fails(
        self, kind: Literal["webhook_failure", "reconcile_failure"], victim: str, now: Callable[[], Nanoseconds]
    ) -> Callable[[], bool] | None:
        """Whether a webhook, or all that a controller does, fails now; None where it never does."""
        failing = [spell for fault, spells in self._of(kind) if fault.victim == victim for spell in spells]
        return (lambda: any(begins <= now() < ends for begins, ends in failing)) if failing else None

    def _between(self, fault: Fault, one: str, other: str) -> bool:
        if fault.link is not None:
            return set(links.ends(fault.link, list(self._scenario.etcd.members)) or ()) == {one, other}
        return (one in (fault.members or ())) != (other in (fault.members or ()))

    def moments(self) -> list[Nanoseconds]:
        """When something begins or ends that may cost the lead, or bring a member back."""
        found = {
            moment for fault, spells in self._of("pause", "crash", "partition") for spell in spells for moment in spell
        }  # fmt: skip
        return sorted(found)

    def _own(self, on: Device) -> list[Spell]:
        """When a device freezes by itself, as its profile says."""
        stalls = on.profile.stalls
        if stalls is None:
            return []
        if on.name not in self._own_stalls:
            gap = self._ground.gap(stalls.every, f"{on.name}.stalls")
            length = self._ground.delays(stalls.for_, f"{on.name}.stalls.for", 64).draw
            drawn: list[Spell] = []
            at = 0
            while (at := at + max(1, gap())) < self._until:
                drawn.append((at, at + length()))
            self._own_stalls[on.name] = drawn
        return self._own_stalls[on.name]

    def announce(self) -> None:
        """Note each fault among the incidents."""
        for name, fault in self._scenario.faults.items():
            whom = fault.target or fault.link or " and ".join(fault.members or ())
            for begins, _ in self.spells[name]:
                said = _SAID[fault.kind].format(whom)
                self._ground.incident(begins, fault.kind, f"{name}: {said} {_for(fault)} {seconds(fault.for_):g} s")


def _for(fault: Fault) -> str:
    return "after" if fault.kind == "crash" else "for"


def _begun(spells: list[Spell], led: Led) -> list[Spell]:
    return [spell for spell in spells if any(begins <= spell[0] < ends for begins, ends in led)]
