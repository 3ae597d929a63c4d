"""Device profiles: how long a disk takes to make a small write durable, with where the figures are from.

A profile is a YAML file: one that comes with the package (`cloud-ssd`), one of the user's own by path (`./my-disk.yaml`,
as `etcdsim probe-disk` writes it), or a mapping inside a scenario.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Discriminator, Tag, ValidationError, ValidationInfo, WithJsonSchema, model_validator

from sim import data
from sim.errors import InputError, nearest
from sim.scenario.distribution import Distribution
from sim.scenario.interval import Every
from sim.scenario.quantities import Bandwidth, Count, Rate, Size
from sim.scenario.refusal import problems_of, refusal, refused, shown
from sim.scenario.section import Section, field, required
from sim.scenario.yaml12 import read_file

_FORMS: Final = "a profile's name, a path to its YAML file, or a mapping with fdatasync"


class Operations(Section):
    """Operations per second that a cloud volume allows."""

    baseline: Rate = required("Operations per second for ever, and how fast credits are earned.")
    burst: Rate | None = field(None, "Operations per second while there are credits; when absent, the baseline.")
    credits: Count = field(
        0, "How many unused operations can be saved up; they are there at the start.", "AWS gp2: 5.4 million"
    )
    io_bytes: Size = field(256 * 1024, "Neighbouring bytes that count as one operation.", "AWS EBS: up to 256 KiB")

    @model_validator(mode="after")
    def _rising(self) -> Operations:
        if self.burst is not None and self.burst < self.baseline:
            raise refused(f'"{self.burst:g}/s" is below the baseline', at="burst")
        if not self.io_bytes:
            raise refused('"0B" is not allowed; it must be above zero', at="io_bytes")
        return self


class Stalling(Section):
    """Times at which a device freezes: they come in time, not with each write, so that all its users meet them together."""

    every: Every = required("How often one begins: exp(1h), or fixed.")
    for_: Distribution = required("How long one lasts.", alias="for")


class DeviceProfile(Section):
    """A disk as etcd sees it: the time of one small durable write, and how fast bytes go through."""

    about: str = field("", "What this device is, in a line.")
    source: str = field("assumed", "Where the figures are from: a public page, a measurement, or assumed and why.")
    measured: str | None = field(None, "When and on what machine this was measured, if it was.")
    fdatasync: Distribution = required("A write of about 2 KiB at the end of a file and its fdatasync, together.")
    backend_fdatasync: Distribution | None = field(
        None, "One fdatasync of the backend file (random pages); when absent, as `fdatasync`."
    )
    bandwidth: Bandwidth = field(
        125_000_000, "Sequential write bandwidth.", "assumed: the baseline throughput of an AWS gp3 volume, 125 MB/s"
    )
    iops: Operations | None = field(None, "Operations per second that it allows; no limit when absent.")
    stalls: Stalling | None = field(None, "When it freezes by itself; never when absent. Declared ones are faults.")


def load_profile(disk: str | Path | DeviceProfile, relative_to: Path | None = None) -> DeviceProfile:
    """The profile of that name, at that path (relative to the folder `relative_to`), or itself. Raises InputError."""
    if isinstance(disk, DeviceProfile):
        return disk
    called = str(disk)
    if is_path(called):
        path = (relative_to or Path()) / Path(called).expanduser()
    else:
        known = data.names("devices")
        if called not in known:
            raise InputError(f'"{called}" is not a known device profile{_hint(called, known)}')
        return _named(called)
    return _from_file(path, called)


@lru_cache(64)
def _named(name: str) -> DeviceProfile:
    """A profile that comes with the package: it does not change while a program runs, and each disk of each run asks for it."""
    return _from_file(data.file("devices", name), name)


def _from_file(path: Path, called: str) -> DeviceProfile:
    raw = read_file(path, called)
    try:
        return DeviceProfile.model_validate(raw)
    except ValidationError as error:
        raise refusal(problems_of(error), prefix=f"{called}: ") from None


def profiles() -> list[tuple[str, str]]:
    """Name and description of every device profile that comes with the package."""
    return [(name, load_profile(name).about) for name in data.names("devices")]


def is_path(text: str) -> bool:
    """Whether this names a file rather than something that comes with the package."""
    return "/" in text or "\\" in text or text.endswith((".yaml", ".yml"))


def _hint(name: str, known: list[str]) -> str:
    return nearest(name, known) or f"; one of {', '.join(known)}, or a path to a YAML file"


def _read(value: Any, info: ValidationInfo) -> Any:
    """A name stays a name; a path is read now, so that what is kept (and saved) stands for itself."""
    if isinstance(value, Mapping | DeviceProfile):
        return value
    if not isinstance(value, str):
        raise refused(f"{shown(value)} is not a disk; write {_FORMS}")
    if not is_path(value):
        known = data.names("devices")
        if value not in known:
            raise refused(f"{shown(value)} is not a known device profile{_hint(value, known)}")
        return value
    context = info.context if isinstance(info.context, dict) else {}
    try:
        return load_profile(value, context.get("folder"))
    except InputError as error:
        raise refused(str(error)) from None


Disk = Annotated[
    Annotated[str, Tag("<name>")] | Annotated[DeviceProfile, Tag("<profile>")],
    Discriminator(lambda value: "<name>" if isinstance(value, str) else "<profile>"),
    BeforeValidator(_read),
    WithJsonSchema({"x-ref": "Disk"}),
]
"""The name of a profile of the package, or a whole profile; a path is read when the scenario is."""
