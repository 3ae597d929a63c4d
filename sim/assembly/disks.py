"""A member's files on their devices: who shares one, and what each device allows."""

from __future__ import annotations

from sim.assembly.faults import Calendars
from sim.assembly.ground import Ground
from sim.hardware.disk import Disk, SharedFile, SharedLog, Stalls
from sim.hardware.iops import Iops
from sim.scenario.machines import Device, device


class Devices:
    """The devices of a run. calendars: when they freeze."""

    def __init__(self, ground: Ground, calendars: Calendars):
        self._ground, self._calendars = ground, calendars
        self._allowances: dict[str, Iops | None] = {}  # by device

    def files(self, member: str) -> tuple[Disk, Disk]:
        """The log and the backend of a member."""
        ground, calendars = self._ground, self._calendars
        on_log, on_file = device(ground.scenario, member, "wal"), device(ground.scenario, member, "backend")
        law = on_file.profile.backend_fdatasync or on_file.profile.fdatasync
        log_draw = ground.delays(on_log.profile.fdatasync, f"etcd.{member}.wal").draw
        file_draw = ground.delays(law, f"etcd.{member}.backend").draw
        log_stalls, file_stalls = Stalls(calendars.stalls(member, "wal", ())), Stalls(calendars.stalls(member, "backend", ()))
        log_speed, file_speed = float(on_log.profile.bandwidth), float(on_file.profile.bandwidth)
        log_limit, file_limit = self._allowance(on_log), self._allowance(on_file)
        if on_log.name != on_file.name:
            return Disk(log_draw, log_speed, log_stalls, log_limit), Disk(file_draw, file_speed, file_stalls, file_limit)
        file = SharedFile(file_draw, file_speed, file_stalls, file_limit)
        return SharedLog(log_draw, log_speed, log_stalls, file, log_limit), file

    def _allowance(self, on: Device) -> Iops | None:
        if on.name not in self._allowances:
            iops = on.profile.iops
            self._allowances[on.name] = (
                None if iops is None else Iops(iops.baseline, iops.burst or iops.baseline, iops.credits, iops.io_bytes)
            )
        return self._allowances[on.name]
