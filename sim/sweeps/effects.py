"""Knobs that did nothing, and why, where the runs can tell.

A knob has no effect where all figures of two runs that differ in nothing else are equal to the last bit, at every such pair.
Common random numbers make that a fair question: with other random numbers nothing would ever be equal. Sampled designs
hold no two points that differ in one knob only, so nothing is said of them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sim.scenario import Scenario, from_dict
from sim.sweeps.plan import resolved
from sim.sweeps.rows import Asked, Results, Row

EXPLAINING: Final = (
    "controller.workers_busy.max", "rest_client.rate_limiter_seconds.max", "rest_client.requests", "controller.errors",
    "leader_election.changes", "etcd.compaction_seconds.count", "apiserver.throttled", "apiserver.seat_wait_seconds.count",
)  # fmt: skip
"""Figures that a reason may rest on."""


@dataclass(frozen=True, slots=True)
class NoEffect:
    """A knob whose values all gave the same. variants: where; why: empty where the model cannot tell."""

    sweep: str
    path: str
    values: tuple[Any, ...]
    variants: tuple[str, ...]
    all_variants: bool
    why: str


def without_effect(results: Results) -> list[NoEffect]:
    """The knobs of each sweep without effect, in all variants or in some."""
    rows = list(results.rows(EXPLAINING))
    judged = (
        _judged(asked, path, [row for row in rows if row.sweep == asked.id]) for asked in results.sweeps for path in asked.paths
    )
    return [one for one in judged if one is not None]


def _judged(asked: Asked, path: str, rows: list[Row]) -> NoEffect | None:
    names = list(dict.fromkeys(row.variant for row in rows))
    idle = [name for name in names if _same([row for row in rows if row.variant == name], path)]
    if not idle:
        return None
    seen = [row for row in rows if row.variant in idle]
    values: dict[str, Any] = {repr(row.values.get(path)): row.values.get(path) for row in seen}
    given = tuple(values.values())
    everywhere = len(idle) == len(names)
    return NoEffect(asked.id, path, given, tuple(idle), everywhere, _why(path, given, seen, asked))


def _same(rows: Sequence[Row], path: str) -> bool:
    """Whether runs that differ in this knob only are equal; False where there are no such runs."""
    groups: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in rows:
        others = repr(sorted((key, repr(value)) for key, value in row.values.items() if key != path))
        groups[f"{others} {row.seed}"][repr(row.values.get(path))].add(row.digest)
    compared = [group for group in groups.values() if len(group) > 1]
    return bool(compared) and all(len(set().union(*group.values())) == 1 for group in compared)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a reason may look at."""

    values: tuple[Any, ...]
    rows: list[Row]
    asked: Asked

    def most(self, figure: str) -> float:
        """The largest value of a figure over all runs; 0 where there is none."""
        return max((row.metrics.get(figure) or 0.0 for row in self.rows), default=0.0)

    def scenarios(self) -> list[Scenario]:
        """What was simulated, a scenario for each point and variant."""
        base = from_dict(self.asked.scenario)
        pairs = {(row.point, row.variant): row.values for row in self.rows}
        return [resolved(base, values, variant) for (_, variant), values in pairs.items()]


def _workers(seen: _Seen, name: str) -> str:
    busy = round(seen.most("controller.workers_busy.max"))
    numbers = [value for value in seen.values if isinstance(value, int)]
    if not numbers or busy > min(numbers):
        return ""
    said = f"{min(numbers)} to {max(numbers)}" if min(numbers) < max(numbers) else f"{numbers[0]}"
    return f"{said} workers, at most {busy} busy"


def _client(seen: _Seen, name: str) -> str:
    clients = [scenario.controllers[name].resolved() for scenario in seen.scenarios() if name in scenario.controllers]
    if clients and all(client.qps is None for client in clients):
        stacks = all(client.origin["client.qps"] != "scenario" for client in clients)
        return "this stack has no client limiter" if stacks else "the client limiter is off"
    if seen.most("rest_client.rate_limiter_seconds.max") == 0:
        return f"no request waited for the client limiter, of at most {round(seen.most('rest_client.requests')):,} requests a run"
    return ""


def _nothing(figure: str, said: str) -> Callable[[_Seen, str], str]:
    return lambda seen, name: said if seen.most(figure) == 0 else ""


_REASONS: Final[tuple[tuple[str, Callable[[_Seen, str], str]], ...]] = (
    (r"controllers\.([^.]+)\.workers", _workers),
    (r"controllers\.([^.]+)\.client\.(?:qps|burst)", _client),
    (r"controllers\.([^.]+)\.(?:queue\.limiter.*|max_retries)", _nothing("controller.errors", "no reconcile failed")),
    (r"controllers\.([^.]+)\.(?:standby|election\..*)", _nothing("leader_election.changes", "no lead changed hands")),
    (r"(etcd)\.compaction.*", _nothing("etcd.compaction_seconds.count", "nothing was compacted within the horizon")),
    (r"(apiservers)\..*flow_control.*", _nothing("apiserver.seat_wait_seconds.count", "no request waited for a seat")),
)


def _why(path: str, values: tuple[Any, ...], rows: list[Row], asked: Asked) -> str:
    for pattern, told in _REASONS:
        if match := re.fullmatch(pattern, path):
            return told(_Seen(values, rows, asked), match[1])
    return ""
