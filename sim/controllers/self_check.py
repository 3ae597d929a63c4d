"""The self-check of a controller's map: what a look finds, what it removes, and the CPU that it takes."""

from __future__ import annotations

from sim.controllers.cache import ObjectMap
from sim.controllers.scan import Scan
from sim.units import Nanoseconds


class SelfCheck:
    """The looks of all lives of one controller. at_start: when its workers start; every: nanoseconds, None for never again.

    Counts the `runs`, the zero values that each has `found`, summed, and those that were `removed`.
    """

    def __init__(self, scan: Scan, at_start: bool, every: Nanoseconds | None, removes: bool):
        self.scan, self.at_start, self.every, self._removes = scan, at_start, every, removes
        self.runs = self.found = self.removed = 0

    def look(self, cache: ObjectMap) -> Nanoseconds:
        """One look at every entry: the time that it takes."""
        took = self.scan.over(len(cache))
        self.runs += 1
        self.found += cache.zero_values
        if self._removes:
            self.removed += cache.remove_zero_values()
        return took
