"""Scrapes the metrics that alert rules look at, at each observation of a run, and lets the rules look at them.

A run is observed 1,920 times: up to eight hours are scraped every 15 s, a day every 45 s. Buckets are counted
from our own, which are 2.2% wide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from sim.metrics.histogram import Histogram
from sim.promql.alerts import AlertRule
from sim.promql.evaluate import Scrapes
from sim.promql.metrics import Metric
from sim.promql.syntax import metrics_of, parse
from sim.result import upper_seconds
from sim.scenario.alerts import Alert
from sim.units import SECOND, Nanoseconds

SCRAPE_INTERVAL: Final[Nanoseconds] = 15 * SECOND
"""As most set it (kube-prometheus: 15 s to 30 s); rules are evaluated as often."""


class Scraper:
    """The alert rules of a run. told: of each that begins to fire, with its time in nanoseconds and a sentence."""

    def __init__(self, declared: Mapping[str, Alert], told: Callable[[Nanoseconds, str], None]):
        self._told = told
        self._last: Nanoseconds = -SCRAPE_INTERVAL
        self.scrapes = Scrapes()
        self.rules = [
            AlertRule(
                name, parse(alert.expr), alert.for_ / SECOND, None if alert.too_late is None else parse(alert.too_late)
            )
            for name, alert in declared.items()
        ]  # fmt: skip
        trees = [tree for rule in self.rules for tree in (rule.expression, rule.too_late) if tree is not None]
        self._metrics = sorted({metric for tree in trees for metric in metrics_of(tree)}, key=lambda metric: metric.name)

    def scrape(self, now: Nanoseconds, figures: Mapping[str, float], histograms: Mapping[str, Histogram]) -> None:
        """Take a sample of each metric now, then evaluate every rule."""
        if now - self._last < SCRAPE_INTERVAL:
            return
        self._last = now
        at = now / SECOND
        samples: dict[tuple[str, str], list[float]] = {}
        for metric in self._metrics:
            if metric.type == "histogram":
                samples |= _parts(metric, histograms[metric.figure])
            else:
                samples[metric.name, ""] = [figures[metric.figure]]
        self.scrapes.add(at, samples)
        for rule in self.rules:
            if rule.look(self.scrapes, at):
                self._told(now, f"{rule.name} fires")


def _parts(metric: Metric, histogram: Histogram) -> dict[tuple[str, str], list[float]]:
    """A histogram as it is exposed: cumulative counts at the metric's own bounds, sum and count."""
    index, counts = histogram.buckets()
    places = np.searchsorted(np.asarray(metric.bounds), upper_seconds(index) * (1 - 1e-9))
    inside = np.bincount(places, weights=counts, minlength=len(metric.bounds) + 1)
    return {
        (metric.name, "bucket"): np.cumsum(inside).tolist(),
        (metric.name, "sum"): [histogram.sum / SECOND],
        (metric.name, "count"): [float(histogram.count)],
    }
