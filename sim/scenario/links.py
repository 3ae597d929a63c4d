"""The network between members: one law for all links, and what is different on some of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.scenario.quantities import Bandwidth, Duration, Fraction
from sim.scenario.section import Section, field
from sim.units import MICROSECOND

if TYPE_CHECKING:
    from sim.scenario.etcd import Etcd

DEFAULT = "default"


class Network(Section):
    """The links between members, where `links` says nothing else."""

    rtt: Duration = field(400 * MICROSECOND, "Round trip between two members.", "assumed: zones of one cloud region")
    jitter: Duration = field(100 * MICROSECOND, "Spread of the round trip.", "assumed")
    loss: Fraction = field(0.0, "Share of segments that are lost, and sent again after a retransmission timeout.")
    bandwidth: Bandwidth | None = field(
        None, "How fast a member that was away gets a whole database; when absent, as its disk writes."
    )


class Link(Section):
    """What is different on one link, in both directions."""

    rtt: Duration | None = field(None, "Round trip; when absent, as by default.")
    jitter: Duration | None = field(None, "Spread of the round trip; when absent, as by default.")
    loss: Fraction | None = field(None, "Share of segments that are lost; when absent, as by default.")
    bandwidth: Bandwidth | None = field(None, "How fast a whole database is sent; when absent, as by default.")


def ends(link: str, names: list[str]) -> tuple[str, str] | None:
    """The two names that a link's name puts together; a name may hold hyphens itself. None where they are not among `names`."""
    parts = link.split("-")
    for at in range(1, len(parts)):
        one, other = "-".join(parts[:at]), "-".join(parts[at:])
        if one in names and other in names:
            return one, other
    return None


def path(etcd: Etcd, one: str, other: str) -> Network:
    """The link between two members: the entry of its members before that of their zones, `default`, and `network`."""
    found = etcd.network
    zones = (etcd.members[one].zone, etcd.members[other].zone)
    keys = [DEFAULT]
    if zones[0] and zones[1]:
        keys += [f"{zones[1]}-{zones[0]}", f"{zones[0]}-{zones[1]}"]
    for key in (*keys, f"{other}-{one}", f"{one}-{other}"):
        link = etcd.links.get(key)
        if link is not None:
            given = {name: value for name in Link.model_fields if (value := getattr(link, name)) is not None}
            found = found.model_copy(update=given)
    return found
