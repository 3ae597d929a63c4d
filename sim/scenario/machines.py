"""Machines that etcd members run on: cores and disks are shared by what runs on one machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema, model_validator

from sim.scenario.device import DeviceProfile, Disk, load_profile
from sim.scenario.quantities import Name, plain, read_count
from sim.scenario.refusal import refused, shown
from sim.scenario.section import Section, field, required

if TYPE_CHECKING:
    from sim.scenario.model import Scenario

File = Literal["wal", "backend"]


def _cores(value: object) -> int | None:
    if value == "off":
        return None
    cores = read_count(value)
    if not 0 < cores <= 1024:
        raise refused(f"{shown(value)} is not allowed; write a number of cores from 1 to 1024, or off: nobody waits for one")
    return cores


Cores = Annotated[
    int | None,
    BeforeValidator(_cores),
    PlainSerializer(lambda cores: "off" if cores is None else cores),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": 1024}, {"const": "off"}]}),
]


def _foreign(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1024:
        raise refused(f"{shown(value)} is not a number of cores; write one such as 0.4")
    return float(value)


class MachineDisk(Section):
    """A disk of a machine; whatever lies on it meets the same stalls."""

    profile: Disk = required("Device profile of the disk: a name, a path to a YAML file, or the profile itself.")

    @property
    def device(self) -> DeviceProfile:
        """The profile, whichever way it was given."""
        return load_profile(self.profile)


class Machine(Section):
    """A machine. A member that names none has one of its own, with these defaults."""

    cores: Cores = field(
        8,
        "CPU cores; what runs here waits for one when all are busy. off: nobody ever waits.",
        "assumed: etcd's hardware page, a large cluster (8 vCPU)",
    )
    foreign_cores: Annotated[float, BeforeValidator(_foreign), PlainSerializer(plain, return_type=float)] = field(
        0.0, "How many of the cores other processes keep busy on average, such as a load generator on the same machine."
    )

    disks: dict[Name, MachineDisk] = field({}, "Its disks by name; without any, each member on it has a disk of its own.")

    @model_validator(mode="after")
    def _some_left(self) -> Machine:
        if self.cores is not None and self.foreign_cores >= self.cores:
            raise refused(f"{self.foreign_cores:g} leaves nothing of {self.cores} cores", at="foreign_cores")
        return self


@dataclass(frozen=True, slots=True)
class Device:
    """The disk under a file of a member. name: `machines.<m>.disks.<d>`, or `members.<name>` where the member has its own."""

    name: str
    profile: DeviceProfile


def device(scenario: Scenario, member: str, file: File) -> Device:
    """What a file of a member lies on."""
    placed = scenario.etcd.members[member]
    disks = {} if placed.machine is None else scenario.machines[placed.machine].disks
    if not disks:
        return Device(f"members.{member}", load_profile(placed.disk))
    name = placed.disk_of(file) or next(iter(disks))
    return Device(f"machines.{placed.machine}.disks.{name}", disks[name].device)
