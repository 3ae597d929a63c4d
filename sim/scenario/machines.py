"""Machines that etcd members run on: cores are shared by what runs on one machine."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema, model_validator

from sim.scenario.quantities import plain, read_count
from sim.scenario.refusal import refused, shown
from sim.scenario.section import Section, field


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

    @model_validator(mode="after")
    def _some_left(self) -> Machine:
        if self.cores is not None and self.foreign_cores >= self.cores:
            raise refused(f"{self.foreign_cores:g} leaves nothing of {self.cores} cores", at="foreign_cores")
        return self
