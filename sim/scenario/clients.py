"""Raw etcd clients: closed loops of writers and readers without Kubernetes between, to validate and calibrate with."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from sim.scenario.distribution import Distribution, distribution
from sim.scenario.quantities import Count, Duration, PositiveCount, PositiveDuration, Prefix, Size
from sim.scenario.refusal import refused
from sim.scenario.retry import Retry
from sim.scenario.section import Section, field, required
from sim.units import MICROSECOND, SECOND

Target = Literal["leader", "follower", "all"]
"""Which members clients of etcd ask."""


class EtcdClients(Section):
    """A group of equal clients, each with one request at a time."""

    clients: PositiveCount = required("How many there are.")
    think: Distribution = field(distribution(constant=0), "Pause between an answer and the next request.")
    op: Literal["put_new", "put_over", "get", "get_serializable", "list", "keepalive", "grant", "revoke"] = field(
        "put_new",
        "What each request does: put a key that never existed; put one of `key_space` keys; get one, from a quorum or from the "
        "member alone; one page of a list of all of them; keep a lease alive; grant a lease and leave it to expire; grant one and "
        "revoke it, in turn.",
    )
    target: Target = field(
        "leader",
        "Whom they ask, in turn: whoever leads; the members that do not lead at the start; all. Who does not lead "
        "hands on writes and the question for the index.",
    )
    key_space: PositiveCount = field(1000, "Keys that exist at the start, for every op but put_new and those of leases.", "assumed")
    watchers: Count = field(0, "Watchers at etcd of everything that they write: each takes `costs.watch_event` of every apply.")
    lease_ttl: PositiveDuration = field(60 * SECOND, "How long a lease lives that is not kept alive, whole seconds.", "assumed")
    lease_keys: Count = field(0, "grant, revoke: fresh keys that are put under each lease, a request each.")
    list_limit: Count = field(0, "Keys of a page of a list; 0 for all. Pages follow each other; each walks what is left.")
    key_bytes: Size = field(27, "Length of the key.", "assumed: as in the byte tables the formulas were verified with")
    value_bytes: Size = field(1024, "Length of the value.", "etcd: etcdctl check perf")
    rtt: Duration = field(200 * MICROSECOND, "Round trip to etcd.", "assumed: the same zone")
    prefix: Prefix = field("/", "What its keys begin with. Guards look at it.")
    retry: Retry = field(Retry(), "What each does when it is refused or not answered.")

    @model_validator(mode="after")
    def _kept_by_the_leader(self) -> EtcdClients:
        if self.op == "keepalive" and self.target != "leader":
            raise refused(f'"{self.target}" is not allowed with op keepalive; write leader', at="target")
        return self
