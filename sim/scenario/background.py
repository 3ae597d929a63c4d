"""What every cluster writes, whatever runs in it: node heartbeats and the leases of leader-elected components."""

from __future__ import annotations

from sim.scenario.quantities import Count, Name, PositiveDuration
from sim.scenario.section import Section, field
from sim.units import MINUTE, SECOND


class Background(Section):
    """Nodes and elected components; a controller's own election comes with the controller."""

    nodes: Count = field(0, "Nodes, each with a kubelet that renews a lease and reports status.")
    leader_elections: Count = field(
        0, "Elected components besides the controllers below, such as scheduler and controller manager."
    )
    node_lease_every: PositiveDuration = field(
        10 * SECOND, "Renewal of a node's lease.", "kubelet: pkg/kubelet/apis/config/v1beta1/defaults.go: 40 s x 0.25"
    )
    node_status_every: PositiveDuration = field(
        5 * MINUTE,
        "Write of an unchanged node status.",
        "kubelet: pkg/kubelet/apis/config/v1beta1/defaults.go NodeStatusReportFrequency",
    )
    leader_election_every: PositiveDuration = field(
        2 * SECOND,
        "Renewal of an elected component's lease.",
        "component-base: config/v1alpha1/defaults.go RetryPeriod",
    )
    node_object: Name = field("node", "The object a status write stores.")
    lease_object: Name = field("lease", "The object a renewal stores.")
