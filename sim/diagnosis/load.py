"""How busy each station of a run was, and how many waited there on average, from its figures alone.

The mean number of requests at a station is the time that all of them spent there over the time simulated (Little): sums of
distributions, mean times count. A station with one server is busy for that share of the time.
"""

from __future__ import annotations

from sim.result import Run


class Load:
    """The figures of a run, as loads. A figure that the run does not have counts as nothing."""

    def __init__(self, run: Run):
        self.run = run
        self.horizon = run.horizon_seconds

    def figure(self, name: str) -> float:
        """A figure; 0 where it is absent."""
        return self.run.metrics.get(name) or 0.0

    def total(self, distribution: str) -> float:
        """Seconds that all samples of a distribution took together."""
        return self.figure(f"{distribution}.mean") * self.figure(f"{distribution}.count")

    def number(self, distribution: str) -> float:
        """Mean number of those who were in it; of a single server, the share of the time that it was busy."""
        return self.total(distribution) / self.horizon if self.horizon else 0.0

    def share(self, part: str, whole: str) -> float:
        """The time of one distribution over that of another, at most 1."""
        below = self.total(whole)
        return min(1.0, self.total(part) / below) if below else 0.0

    def quotient(self, part: str, whole: str) -> float:
        """One figure over another; 0 where there is nothing to divide by."""
        below = self.figure(whole)
        return self.figure(part) / below if below else 0.0

    def most(self, what: str) -> tuple[str, float]:
        """The writer with the largest part of a figure, and its part of the sum; empty where nobody has any."""
        shares = {name: row.get(what, 0.0) for name, row in self.run.writers.items()}
        total = sum(shares.values())
        if not total:
            return "", 0.0
        name = max(shares, key=lambda one: (shares[one], one))
        return name, shares[name] / total

    def busiest(self, what: str) -> tuple[str, float]:
        """The controller with the largest part of a figure, and its part of the sum; empty where there is none."""
        ends = f".{what}"
        found = {
            name.removeprefix("controllers.").removesuffix(ends): value or 0.0
            for name, value in self.run.metrics.items()
            if name.startswith("controllers.") and name.endswith(ends) and name.count(".") == 1 + ends.count(".")
        }
        total = sum(found.values())
        if not total:
            return "", 0.0
        name = max(found, key=lambda one: (found[one], one))
        return name, found[name] / total

    def growth(self, column: str) -> float:
        """How a series grew per second over the second half of the run."""
        series = self.run.series
        if column not in series or len(series) < 4:
            return 0.0
        half = series[column].iloc[len(series) // 2 :].dropna()
        if len(half) < 2 or half.index[-1] == half.index[0]:
            return 0.0
        return float((half.iloc[-1] - half.iloc[0]) / (half.index[-1] - half.index[0]))
