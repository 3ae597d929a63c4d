"""A load on etcd, as `etcdsim validate` sends it to a real one and to the simulated one.

Plain numbers: seconds, bytes, requests per second. What each field means, for both sides:

    closed loop   `clients`, each with one request at a time; it begins within `think_seconds` of the start, thinks after each
                  answer, and waits `error_backoff_seconds` after one that failed
    open loop     Poisson arrivals of `rate`, over the connections in turn; latency counts from the moment a request was due
    latencies     of requests begun after `warmup_seconds`; the rate is of answers between `warmup_seconds` and `seconds`
    keys          `put_new`: never written before; `delete` in a `mix` with `put_new`: the oldest of those; all else: one of
                  `key_space` keys, drawn evenly, of which `preload` exist at the start
    txn           if the key's mod revision is the last that was seen: put, else get the key (the API server's update)
    compaction    every `compact_every_seconds`, to the revision of that moment
    leases        `lease_count` of them granted from `lease_at_seconds` on, 64 at a time, a key put under each; they expire
    watchers      streams of their own on all keys
    pause         SIGSTOP of a member, SIGCONT later
    quota         after the load: what still passes, and what brings writes back
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, get_args

from pydantic import BeforeValidator, WithJsonSchema, field_validator, model_validator

from sim.scenario.quantities import Count, PositiveCount, no_more_than
from sim.scenario.refusal import refused, shown, unknown
from sim.scenario.section import Section, field, required

Kind = Literal["put_new", "put_over", "delete", "get", "get_serializable", "txn", "list"]
KINDS: Final[tuple[str, ...]] = get_args(Kind)
_OWN_FLAGS: Final = (
    "name", "data-dir", "wal-dir", "config-file", "listen-client-urls", "listen-peer-urls", "listen-metrics-urls",
    "advertise-client-urls", "initial-advertise-peer-urls", "initial-cluster", "initial-cluster-state", "initial-cluster-token",
    "discovery", "discovery-srv", "quota-backend-bytes", "log-outputs", "logger", "log-level", "force-new-cluster", "enable-v2",
)  # fmt: skip
_LONGEST: Final = 3_600


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refused(f"{shown(value)} is not a number")
    if not 0 <= value <= 1e9:
        raise refused(f"{shown(value)} is not allowed; a number from 0 to 1e9")
    return float(value)


def _above_zero(value: Any) -> float:
    number = _number(value)
    if not number:
        raise refused(f"{shown(value)} is not allowed; it must be above zero")
    return number


def _one_or_three(value: Any) -> int:
    if isinstance(value, bool) or value not in (1, 3):
        raise refused(f"{shown(value)} is not allowed; one of 1, 3")
    return int(value)


Number = Annotated[float, BeforeValidator(_number), WithJsonSchema({"type": "number", "minimum": 0})]
PositiveNumber = Annotated[float, BeforeValidator(_above_zero), WithJsonSchema({"type": "number", "exclusiveMinimum": 0})]
Members = Annotated[int, BeforeValidator(_one_or_three), WithJsonSchema({"enum": [1, 3]})]


class Pause(Section):
    """A member that is stopped for a while."""

    who: Literal["leader", "follower"] = required("Which member, as it is at that moment.")
    at_seconds: Number = required("When, after the load began.")
    for_seconds: PositiveNumber = required("For how long.")


class LoadTest(Section):
    """One load. Defaults are those of the measurements that the project began with."""

    name: str = field("", "What results call it; when absent, its name in the map or that of its file.")
    note: str = field("", "A remark for people.")
    members: Members = field(1, "Members of the cluster.")
    clients: Annotated[PositiveCount, no_more_than(10_000)] | None = field(None, "Clients of a closed loop.")
    rate: PositiveNumber | None = field(None, "Requests per second of an open loop.")
    connections: Annotated[PositiveCount, no_more_than(1_000)] = field(1, "TCP connections that they share.")
    target: Literal["leader", "all", "follower"] = field("leader", "Which members they connect to, in turn.")
    think_seconds: Number = field(0.0, "Closed loop: pause between an answer and the next request.")
    think: Literal["fixed", "exponential"] = field("fixed", "How that pause is distributed.")
    seconds: PositiveNumber = field(12.0, "How long the load lasts, warm-up included.")
    warmup_seconds: Number = field(2.0, "What is sent before counts for bytes and keys, not for rates and latencies.")
    key_bytes: Annotated[PositiveCount, no_more_than(65_536)] = field(32, "Length of a key.")
    value_bytes: Annotated[Count, no_more_than(1_400_000)] = field(256, "Length of a value.")
    op: Literal["put_new", "put_over", "delete", "get", "get_serializable", "txn", "list", "mix"] = field(
        "put_new", "What each request does."
    )
    mix: dict[str, PositiveNumber] | None = field(None, "With op: mix, the share of each kind of request.")
    key_space: PositiveCount = field(1000, "How many keys are written or read again.")
    preload: Annotated[Count, no_more_than(5_000_000)] = field(0, "How many of them exist at the start.")
    compact_every_seconds: PositiveNumber | None = field(None, "Compact so often; never when absent.")
    quota_bytes: PositiveCount | None = field(None, "etcd's quota; its own default when absent.")
    lease_ttl: PositiveCount | None = field(None, "Time to live of the leases, whole seconds.")
    lease_count: Annotated[Count, no_more_than(1_000_000)] = field(0, "How many leases are granted beside the load.")
    lease_at_seconds: Number = field(1.0, "When, after the load began.")
    watchers: Annotated[Count, no_more_than(10_000)] = field(0, "How many watch all keys.")
    pause: Pause | None = field(None, "A member that is stopped meanwhile.")
    flags: tuple[str, ...] = field((), "More flags for etcd.")
    seed: Count = field(1, "Of arrivals, kinds and keys; each repeat takes the next one.")
    generators: Annotated[PositiveCount, no_more_than(8)] = field(1, "How many processes send it.")
    timeout_seconds: PositiveNumber = field(10.0, "A client gives up an answer after this long.")
    error_backoff_seconds: Number = field(0.1, "Closed loop: pause after a request that failed.")
    list_limit: Count = field(500, "Most keys that a list returns; 0: all.")

    @field_validator("mix", mode="after")
    @classmethod
    def _kinds(cls, mix: dict[str, float] | None) -> dict[str, float] | None:
        for kind in mix or {}:
            if kind not in KINDS:
                raise refused(unknown(kind, KINDS).replace("unknown key", f"{shown(kind)} is not a kind of request"), at=kind)
        return mix

    @field_validator("flags", mode="after")
    @classmethod
    def _flags(cls, flags: tuple[str, ...]) -> tuple[str, ...]:
        for flag in flags:
            name = flag.removeprefix("--").split("=")[0]
            if not flag.startswith("--") or not name:
                raise refused(f"{shown(flag)} is not a flag; write --name=value")
            if name in _OWN_FLAGS:
                instead = "; use quota_bytes" if name == "quota-backend-bytes" else ""
                raise refused(f"{shown(flag)} is not allowed: this flag is set for each run{instead}")
        return flags

    @model_validator(mode="after")
    def _together(self) -> LoadTest:
        if (self.clients is None) == (self.rate is None):
            raise refused("give one of clients and rate, and not both", at="clients")
        if (self.op == "mix") != bool(self.mix):
            raise refused("missing; op: mix needs it" if self.op == "mix" else "is only used with op: mix", at="mix")
        if not self.warmup_seconds < self.seconds <= _LONGEST:
            at = "seconds" if self.seconds > _LONGEST else "warmup_seconds"
            raise refused(f"{shown(getattr(self, at))} is not allowed; warmup_seconds < seconds <= {_LONGEST}", at=at)
        if self.members == 1 and self.target == "follower":
            raise refused('"follower" needs members: 3', at="target")
        if self.members == 1 and self.pause is not None and self.pause.who == "follower":
            raise refused('"follower" needs members: 3', at="pause.who")
        if self.pause is not None and self.pause.at_seconds >= self.seconds:
            raise refused(f"{shown(self.pause.at_seconds)} is not before the load ends", at="pause.at_seconds")
        if self.lease_count and self.lease_ttl is None:
            raise refused("missing; lease_count needs it", at="lease_ttl")
        if self.key_bytes < 7:
            raise refused(f"{shown(self.key_bytes)} is not allowed; at least 7, the length of /lab/k0", at="key_bytes")
        if self.clients is not None and self.generators > self.clients:
            raise refused(f"{shown(self.generators)} is more than there are clients", at="generators")
        return self

    @property
    def shares(self) -> dict[str, float]:
        """Kind of request to its share."""
        return dict(self.mix) if self.op == "mix" and self.mix else {self.op: 1.0}

    @property
    def writes(self) -> bool:
        """Whether any request goes through the log."""
        return any(not kind.startswith(("get", "list")) for kind in self.shares)

    @property
    def about(self) -> str:
        """The load in a few words."""
        who = f"{self.rate:g} requests/s" if self.rate else "1 client" if self.clients == 1 else f"{self.clients} clients"
        parts = [", ".join(f"{kind} {share:g}" if self.mix else kind for kind, share in self.shares.items())]
        parts.append(f"{self.value_bytes} B")
        if self.think_seconds:
            parts.append(f"think {self.think_seconds:g} s ({self.think})")
        if self.members > 1:
            parts.append(f"{self.members} members, at {'all' if self.target == 'all' else f'the {self.target}'}")
        compacts, pause = self.compact_every_seconds, self.pause
        for on, what in (
            (self.preload, f"{self.preload:,} keys before"),
            (compacts, f"compaction every {compacts or 0:g} s"),
            (self.quota_bytes, f"quota {self.quota_bytes or 0:,} B"),
            (self.lease_count, f"{self.lease_count} leases of {self.lease_ttl} s"),
            (self.watchers, f"{self.watchers} watchers"),
            (pause, f"{pause.who} stopped for {pause.for_seconds:g} s" if pause else ""),
        ):
            if on:
                parts.append(what)
        return f"{who}: {'; '.join(parts)}"
