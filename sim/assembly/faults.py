"""When what goes wrong: the calendars of a run, drawn in the time domain, so that two variants meet the same faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from sim.assembly.ground import Ground
from sim.hardware.disk import Stalls
from sim.scenario.faults import Fault
from sim.scenario.machines import Device, File, device
from sim.units import Nanoseconds, seconds

_WHAT: Final = {
    "disk_stall": "freezes", "apiserver_outage": "does not listen", "apiserver_slow": "is slow", "webhook_failure": "fails",
    "reconcile_failure": "cannot reconcile",
}  # fmt: skip
Spell = tuple[Nanoseconds, Nanoseconds]
"""From when until when, nanoseconds."""


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

    def outages(self, apiserver: str) -> list[Spell]:
        """When nobody listens at the API servers of a name."""
        return sorted(
            spell for name, fault in self._scenario.faults.items()
            if fault.kind == "apiserver_outage" and fault.victim == apiserver for spell in self.spells[name]
        )  # fmt: skip

    def slowness(self, apiserver: str, now: Callable[[], Nanoseconds]) -> Callable[[], Nanoseconds] | None:
        """What a request that begins now takes longer at the API servers of a name; None where that is always nothing."""
        slow = [
            (*spell, fault.adds or 0) for name, fault in self._scenario.faults.items()
            if fault.kind == "apiserver_slow" and fault.victim == apiserver for spell in self.spells[name]
        ]  # fmt: skip
        return (lambda: sum(adds for begins, ends, adds in slow if begins <= now() < ends)) if slow else None

    def fails(
        self, kind: Literal["webhook_failure", "reconcile_failure"], victim: str, now: Callable[[], Nanoseconds]
    ) -> Callable[[], bool] | None:
        """Whether a webhook, or all that a controller does, fails now; None where it never does."""
        spells = [
            spell for name, fault in self._scenario.faults.items()
            if fault.kind == kind and fault.victim == victim for spell in self.spells[name]
        ]  # fmt: skip
        return (lambda: any(begins <= now() < ends for begins, ends in spells)) if spells else None

    def stalls(self, member: str, file: File, leads: bool) -> Stalls:
        """When the disk under a file of a member is frozen; what is aimed at the leader counts where it `leads`."""
        on = device(self._scenario, member, file)
        under = on.name
        return Stalls(
            self._own(on) + [
                spell for name, fault in self._scenario.faults.items()
                if fault.kind == "disk_stall"
                and (fault.target == under or fault.hits(member, file) or (leads and fault.hits_leader(file)))
                for spell in self.spells[name]
            ]
        )  # fmt: skip

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
            whom = f"the disk of {fault.target}" if fault.kind == "disk_stall" else fault.target
            what = _WHAT[fault.kind]
            for begins, _ in self.spells[name]:
                self._ground.incident(begins, fault.kind, f"{name}: {whom} {what} for {seconds(fault.for_):g} s")
