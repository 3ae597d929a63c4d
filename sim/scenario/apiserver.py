"""The API servers between controllers and etcd."""

from __future__ import annotations

from sim.scenario.distribution import Distribution, distribution
from sim.scenario.quantities import Duration, PositiveCount
from sim.scenario.section import Section, field
from sim.units import MICROSECOND


class ApiServer(Section):
    """A group of equal API servers."""

    count: PositiveCount = field(1, "How many there are.")
    rtt_to_etcd: Duration = field(200 * MICROSECOND, "Round trip to its etcd member.", "assumed: the same zone")
    rtt_to_clients: Duration = field(500 * MICROSECOND, "Round trip to controllers and kubelets.", "assumed: zones of one region")
    overhead: Distribution = field(
        distribution(median="1ms", p99="4ms"),
        "Handler work of one request: authentication, decoding, encoding.",
        "assumed",
    )
    admission: Distribution = field(distribution(constant=0), "Admission of one write: webhooks and plugins.", "assumed: none")
    watch_lag: Distribution = field(
        distribution(median="2ms", p99="10ms"),
        "From an event at etcd's watch to the watcher, through the watch cache.",
        "assumed",
    )
