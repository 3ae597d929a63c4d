"""Workloads of whole fleets: controllers that coordinate through etcd, services that rotate certificates, devices that report."""

from __future__ import annotations

from typing import Annotated, Literal

from sim.scenario.maps import MapAccess
from sim.scenario.quantities import Count, DurationOrNever, Name, PositiveCount, PositiveDuration, no_more_than
from sim.scenario.section import Section, field, required
from sim.units import HOUR, SECOND


class Coordination(Section):
    """Controllers that each keep keys of their own, and keys in every namespace that they find."""

    kind: Literal["coordination"] = field("coordination", "Controllers coordinate through leases and config maps.")
    controllers: Annotated[PositiveCount, no_more_than(1_000)] = required("How many controllers there are.")
    kinds: Annotated[PositiveCount, no_more_than(100)] = field(
        4, "Kinds of state that a controller keeps: each in two places of its own and once in every namespace.", "the article, 2.4"
    )
    namespaces: Annotated[Count, no_more_than(10_000)] | Literal["own"] = field(
        "own", "Namespaces that there are: own, each controller brings one; or so many, however many controllers there are."
    )
    renew_every: PositiveDuration = field(10 * SECOND, "How often a controller writes its own keys again.", "assumed")
    look_every: PositiveDuration = field(30 * SECOND, "How often a controller looks for namespaces that are new to it.", "assumed")
    lease_object: Name = field("lease", "The object that a lease is stored as.")
    config_object: Name = required("The object that a config map is stored as.")


class Certificates(Section):
    """Services whose certificates are issued and renewed through CertificateSigningRequests."""

    kind: Literal["certificates"] = field("certificates", "Certificates are rotated through the API.")
    services: Annotated[PositiveCount, no_more_than(1_000_000)] = required("How many services have a certificate.")
    lifetime: PositiveDuration = required("Validity of a certificate; it is renewed after 70% to 90% of it.")
    cleaner: bool = field(True, "Whether issued requests are deleted; else they stay.")
    cleaned_after: PositiveDuration = field(
        HOUR, "How long an issued request is kept.",
        "kube-controller-manager: pkg/controller/certificates/cleaner/cleaner.go approvedExpiration",
    )  # fmt: skip
    clean_every: PositiveDuration = field(HOUR, "How often the cleaner looks.", "the same: pollingInterval")
    request_object: Name = required("The object that a request is stored as.")
    secret_object: Name = required("The object that the certificate itself is stored as.")


class Telemetry(Section):
    """Devices that report measurements through edges: each as an Event, or summed up by the edge."""

    kind: Literal["telemetry"] = field("telemetry", "Devices report through the API.")
    devices: Annotated[PositiveCount, no_more_than(100_000)] = required("How many devices report.")
    every: PositiveDuration = required("How often a device reports.")
    edges: Annotated[PositiveCount, no_more_than(10_000)] = field(1, "Edge nodes, among which the devices are shared.", "assumed")
    summed: DurationOrNever = field(
        None, "How long an edge sums up before it writes one object for all that came in; never: each measurement is an object."
    )
    object: Name = field("event", "The object that a measurement is stored as.")
    summary_object: Name = field("event", "The object that a summary is stored as.")


FLEETS: dict[str, type[Section]] = {
    "coordination": Coordination, "certificates": Certificates, "telemetry": Telemetry, "map_access": MapAccess,
}  # fmt: skip
