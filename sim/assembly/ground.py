"""What every part of a world stands on: the scenario, the clock, the streams, and who writes."""

from __future__ import annotations

from collections.abc import Callable

from sim import distributions
from sim.apiserver.objects import Labels
from sim.etcd.request import Shape
from sim.journal import Samples
from sim.processes.events import Clock
from sim.result import Incident
from sim.scenario import Scenario
from sim.scenario import distribution as laws
from sim.scenario.interval import Interval
from sim.streams import Delays, Stream, Streams
from sim.units import Nanoseconds, seconds


def table(law: laws.Distribution) -> distributions.Table:
    """The quantile table of a declared law of durations."""
    match law:
        case laws.Constant():
            return distributions.constant(law.constant)
        case laws.Lognormal():
            return distributions.lognormal(law.median, law.p99)
        case laws.Gamma():
            return distributions.gamma(law.mean, law.sd)
        case laws.Empirical():
            return distributions.empirical(law.quantiles)
        case laws.Mixture():
            return distributions.mixture([(part.weight, table(part.of)) for part in law.mixture])


def pairs(labels: str) -> Labels:
    """`a=b,c=d` as pairs."""
    return frozenset((key, value) for key, _, value in (part.partition("=") for part in labels.split(",") if part))


class Ground:
    """The scenario of one run, with its clock, streams, writers and shapes."""

    def __init__(self, scenario: Scenario, seed: int):
        self.scenario, self.env, self.streams = scenario, Clock(), Streams(seed)
        self.writers: list[str] = [
            *scenario.workloads, "node-heartbeats", "leader-elections", *scenario.controllers, *scenario.clients,
            "kube-apiserver", "etcd", "preloaded",
        ]  # fmt: skip
        self.incidents: list[Incident] = []
        self.list_durations = Samples()
        costs, servers = scenario.etcd.costs, sum(server.count for server in scenario.apiservers.values())
        self.shapes = {
            name: Shape(
                name, kind.key_bytes, kind.value_bytes, kind.ttl is not None,
                kind.value_bytes * costs.apply_per_kib // 1024 + servers * costs.watch_event + costs.txn_apply, costs.txn,
            )
            for name, kind in scenario.objects.items()
        }  # fmt: skip

    def writer(self, name: str) -> int:
        """The number under which somebody's writes are counted."""
        return self.writers.index(name)

    def stream(self, name: str, block: int = 4096) -> Stream:
        """The stream of a component, by its name."""
        return self.streams(name, block)

    def delays(self, law: laws.Distribution, name: str, block: int = 4096) -> Delays:
        """Durations of a declared law, from the stream of that name."""
        return Delays(self.streams(name), table(law), block)

    def draws(self, law: laws.Distribution, name: str, block: int = 256) -> Callable[[], Nanoseconds] | None:
        """Draws durations of a declared law; None where they are all 0."""
        if isinstance(law, laws.Constant) and law.constant == 0:
            return None
        return self.delays(law, name, block).draw

    def gap(self, every: Interval, name: str) -> Callable[[], Nanoseconds]:
        """Times between two events of a calendar."""
        if every.law == "fixed":
            return lambda: every.mean
        return Delays(self.streams(name), distributions.exponential(every.mean)).draw

    def incident(self, at: Nanoseconds, kind: str, about: str) -> None:
        """Something that a reader of the result should know happened at `at`."""
        self.incidents.append(Incident(seconds(at), kind, about))
