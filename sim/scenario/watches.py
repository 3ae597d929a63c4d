"""Watches at etcd itself: clients that keep streams open, and may be slow, asleep, or far behind."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import model_validator

from sim.scenario.quantities import Count, Duration, Name, PositiveCount, PositiveDuration, Rate, Size, no_more_than
from sim.scenario.refusal import refused, shown
from sim.scenario.section import Section, field, required
from sim.units import MICROSECOND


class Stall(Section):
    """A client that reads nothing for a while."""

    from_: Duration = field(0, "When it begins.", alias="from")
    for_: PositiveDuration | None = field(None, "How long it lasts; to the end when absent.", alias="for")


class Watches(Section):
    """Clients that watch at etcd, as API servers do, each watcher on a stream."""

    kind: Literal["watches"] = field("watches", "Clients watch at etcd.")
    object: Name | None = field(None, "What they watch; everything when absent.")
    watchers: Annotated[PositiveCount, no_more_than(100_000)] = required("How many watchers there are.")
    per_stream: Annotated[PositiveCount, no_more_than(10_000)] = field(
        1, "Watchers that share a stream, its channel and its sender, as those of one client with one context do."
    )
    at: Duration = field(0, "When they open.")
    behind: Count = field(0, "How many revisions before the newest one they begin; 0: with what comes.")
    takes: Rate | None = field(None, "Events per second that the client of a stream takes; as they come when absent.")
    stall: Stall | None = field(None, "When the client of each stream reads nothing; never when absent.")
    send: PositiveDuration = field(10 * MICROSECOND, "What a stream's sender needs for a response with one event.", "assumed")
    under_way: Size = field(
        131_071,
        "Bytes under way to a client before the sender waits for it.",
        "grpc-go: first window 65,535 and write quota 65,536 (internal/transport)",
    )
    again: PositiveDuration | None = field(
        None, "After being cancelled because what they want is compacted: when they watch what comes; never when absent."
    )

    @model_validator(mode="after")
    def _whole_streams(self) -> Watches:
        if self.watchers % self.per_stream:
            raise refused(f"{shown(self.per_stream)} does not divide the {self.watchers} watchers", at="per_stream")
        return self
