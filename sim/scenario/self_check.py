"""The self-check of a controller: a goroutine of its own that looks for zero values in the map."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sim.scenario.quantities import DurationOrNever
from sim.scenario.section import Section, field


class SelfCheck(Section):
    """A look at every entry of the controller's map: when its workers start, and at intervals."""

    at_start: bool = field(True, "Whether it looks when the workers start.", "the article, 4.4: each instance when it starts")
    every: DurationOrNever = field(None, "From one look to the next; never when absent.")
    compare: Literal["deep", "deep_1kib", "direct"] = field(
        "deep", "How an entry is compared with its zero value: reflect.DeepEqual of a small struct or of 1 KiB, or a field with ==."
    )
    nanoseconds: Annotated[float, Field(ge=0, le=1e9)] | None = field(
        None, "CPU time of one comparison; when absent, the article's: 124, 892 or 0.3.", "the article, 3.1"
    )
    on_found: Literal["report", "remove"] = field("report", "What it does with zero values: counts them, or deletes their keys.")
