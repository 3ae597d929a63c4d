"""`etcdsim run --until-half-width`: worlds of one scenario until the intervals of named figures are narrow enough."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sim.analysis import Look, StopRule, interval_of, observed
from sim.analysis.stopping import FIRST
from sim.result import Runs
from sim.scenario import Scenario
from sim.simulation import Report, more, run


def run_until(
    scenario: Scenario, until: Mapping[str, float], most: int, *, seed: int = 1, variants: list[str] | None = None,
    workers: int | None = None, progress: Report | None = None,
) -> tuple[Runs, dict[tuple[str, str], Look]]:  # fmt: skip
    """Worlds, the same ones for all variants, until the half width of each figure, a share of its mean, is met; `most` at most.

    most: at least 2. Returns the runs and, for each variant and figure, the last look.
    """
    first = min(FIRST, most)
    runs = run(scenario, seed=seed, variants=variants, workers=workers, progress=progress, replications=first)
    while True:
        looks = dict(_looks(runs, until, first, most))
        further = [look.next for look in looks.values() if look.next is not None]
        if not further:
            return runs, looks
        runs = more(runs, max(further), workers=workers, progress=progress)


def _looks(runs: Runs, until: Mapping[str, float], first: int, most: int) -> Iterator[tuple[tuple[str, str], Look]]:
    for variant, worlds in runs.replications.items():
        for figure, share in until.items():
            values = [observed(world.metrics.get(figure), world.status.get(figure)) for world in worlds]
            yield (variant, figure), StopRule(share, first, most).look(interval_of(figure, values), len(worlds))
