"""Watchers at etcd, from the scenario's workloads: those of `watches`, and those of storms."""

from __future__ import annotations

from collections.abc import Sequence

from sim.assembly.ground import Ground
from sim.etcd.request import Shape
from sim.etcd.watch_groups import Group, Tally
from sim.etcd.watch_stream import UNDER_WAY, Client
from sim.etcd.watchers import RESYNC, Watchers, WatchRules
from sim.hardware.disk import NEVER
from sim.scenario.watches import Watches
from sim.scenario.workloads import Storm
from sim.units import SECOND, Bytes

_AROUND: Bytes = 50
"""A response beside key and value of its event: header, revisions, version, the fields' heads (tests/etcd/record_watchers.py)."""


class Watching:
    """Who watches at etcd. watchers: the mechanism; tallies: their fate, by workload; writer: who is charged for rounds."""

    def __init__(self, ground: Ground, everything: Sequence[Shape]):
        etcd = ground.scenario.etcd
        costs, release = etcd.costs, etcd.release
        self.watchers = Watchers(
            WatchRules(
                1024 if release < (3, 4, 10) else 128, (3, 6, 0) <= release <= (3, 6, 8),
                costs.watch_scan, costs.watch_match, costs.watch_event,
            ),
            int(ground.stream("etcd.watch-rounds", 64).uniform() * RESYNC),
        )  # fmt: skip
        self.tallies: dict[str, Tally] = {}
        self._further = costs.watch_marshal
        for name, workload in ground.scenario.workloads.items():
            if isinstance(workload, Watches):
                shapes = everything if workload.object is None else [ground.shapes[workload.object]]
                self._watches(name, workload, shapes)
            elif isinstance(workload, Storm) and workload.watchers:
                shape = ground.shapes[workload.object]
                client = Client(workload.watch_send, self._further, 1, _events(UNDER_WAY, [shape]))
                self._expect(name, Group(self.watchers.target([shape]), client, workload.watchers))
        self.writer = ground.writer(next(iter(self.tallies)))

    def _watches(self, name: str, workload: Watches, shapes: Sequence[Shape]) -> None:
        stalls, resumes = NEVER, NEVER
        if workload.stall is not None:
            stalls = workload.stall.from_
            resumes = NEVER if workload.stall.for_ is None else stalls + workload.stall.for_
        read = 1 if workload.takes is None else max(1, round(SECOND / workload.takes))
        client = Client(workload.send, self._further, read, _events(workload.under_way, shapes), stalls, resumes)
        streams = workload.watchers // workload.per_stream
        target = self.watchers.target(list(shapes))
        self._expect(name, Group(target, client, streams, workload.per_stream, workload.at, workload.behind, workload.again))

    def _expect(self, name: str, group: Group) -> None:
        self.tallies[name] = group.tally
        self.watchers.expect(group)


def watching(ground: Ground, everything: Sequence[Shape]) -> Watching | None:
    """Who watches at etcd in a scenario; None: nobody. everything: shapes of all that may be written."""
    for workload in ground.scenario.workloads.values():
        if isinstance(workload, Watches) or (isinstance(workload, Storm) and workload.watchers):
            return Watching(ground, everything)
    return None


def _events(size: Bytes, shapes: Sequence[Shape]) -> int:
    """How many events of these kinds, alike in number, are so many bytes."""
    mean = sum(shape.key_bytes + shape.value_bytes + _AROUND for shape in shapes) // len(shapes)
    return max(1, -(-size // mean))
