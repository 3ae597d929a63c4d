"""How far the ratio of WAL bytes between two variants depends on object sizes that nobody measured.

Each entry carries its object's value whole, so a value that is `d` bytes longer adds `d` bytes to each of its entries (up to 8 by
padding): the ratio for another size follows from the counted entries, without another run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sim.report.declared import parameters

if TYPE_CHECKING:
    from sim.result import Runs

_FACTORS: Final = (0.5, 1.5, 2.0)
_WORTH_SAYING: Final = 0.02


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """The WAL ratio if values of one kind of object had another size. sizes, ratios: bytes and ratio, the scenario's own first."""

    object: str
    sizes: tuple[int, ...]
    ratios: tuple[float, ...]


def wal_ratio(runs: Runs) -> list[Sensitivity]:
    """For each kind of object whose size is assumed and matters: the ratio at other sizes. Empty unless there are two variants."""
    if len(runs) != 2:
        return []
    first, second = runs.values()
    written = [run.metrics.get("etcd.wal_bytes_written") for run in (first, second)]
    if not written[0] or not written[1]:
        return []
    own = written[0] / written[1]
    found = []
    for name, kind in runs.scenario.objects.items():
        if not any(one.standing == "assumed" and one.path.startswith(f"objects.{name}") for one in parameters(runs.scenario)):
            continue
        entries = [run.metrics.get(f"objects.{name}.wal_entries") or 0.0 for run in (first, second)]
        sizes = [kind.value_bytes, *(round(kind.value_bytes * factor) for factor in _FACTORS)]
        ratios = [
            (written[0] + entries[0] * (size - kind.value_bytes)) / (written[1] + entries[1] * (size - kind.value_bytes))
            for size in sizes
        ]
        if max(abs(ratio / own - 1) for ratio in ratios) > _WORTH_SAYING:
            found.append(Sensitivity(name, tuple(sizes), tuple(ratios)))
    return found
