"""A map that the threads of a controller read and write: behind a lock, or copied at every write."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sim.scenario.quantities import PositiveCount, no_more_than
from sim.scenario.section import Section, field, required

Cost = Annotated[float, Field(ge=0, le=1e9)]


class MapAccess(Section):
    """Threads that read and write one map as fast as they can, until so many operations are done."""

    kind: Literal["map_access"] = field("map_access", "Threads read and write one map in memory.")
    store: Literal["locked", "copied", "published"] = required(
        "locked: a map that is changed in place; copied: every write copies it under a lock of the writers; published: the "
        "article's put, which copies it without one."
    )
    entries: Annotated[PositiveCount, no_more_than(100_000)] = required("Entries of the map; writes change them in turn.")
    threads: Annotated[PositiveCount, no_more_than(1_000)] = field(8, "Threads, each on a core of its own.", "the article, 3.3")
    operations: Annotated[PositiveCount, no_more_than(10_000_000)] = field(100_000, "Reads and writes in all.", "the article, 3.3")
    reads_per_write: Annotated[float, Field(ge=0, le=1e6)] = required("Reads between two writes of a thread, on average.")
    locked_read_ns: Cost = field(12.0, "One read of the locked map, contention included.", "the article, 3.3")
    locked_write_ns: Cost = field(85.0, "One write of it.", "the article, 3.3")
    read_ns: Cost = field(3.0, "One read of a snapshot.", "the article, 3.3")
    copy_ns: Cost = field(0.0, "A copy of an empty map.", "assumed: none of the article's 3,200 ns")
    copy_entry_ns: Cost = field(32.0, "The copy of one entry.", "assumed: the article's 3,200 ns at 100 entries; it gives no size")
