"""A branch page of the backend file, with what its leaves hold."""

from __future__ import annotations

from array import array

from sim.units import Bytes


class Branch:
    """A branch page and its leaves, in arrays: first slot, live bytes, live elements, first page, number of pages."""

    __slots__ = ("count", "dirty", "first", "own", "page", "run", "size")

    def __init__(self) -> None:
        self.first = array("i")
        self.size = array("i")
        self.count = array("i")
        self.page = array("i")
        self.run = array("H")
        self.own = -1  # its page; none while the bucket is a single leaf
        self.dirty = False

    def add(self, first: int, size: Bytes, count: int, page: int, run: int) -> None:
        """A leaf at the right end."""
        self.first.append(first)
        self.size.append(size)
        self.count.append(count)
        self.page.append(page)
        self.run.append(run)

    def remove(self, leaf: int) -> None:
        del self.first[leaf], self.size[leaf], self.count[leaf], self.page[leaf], self.run[leaf]

    def replace(self, leaf: int, leaves: Branch) -> None:
        """Put the leaves of another branch in the place of one leaf."""
        here = slice(leaf, leaf + 1)
        self.first[here], self.size[here], self.count[here] = leaves.first, leaves.size, leaves.count
        self.page[here], self.run[here] = leaves.page, leaves.run

    def absorb(self, right: Branch) -> None:
        """Take over the leaves of the right neighbour."""
        end = slice(len(self.first), None)
        self.first[end], self.size[end], self.count[end] = right.first, right.size, right.count
        self.page[end], self.run[end] = right.page, right.run

    def cut(self, leaves: int) -> Branch:
        """Keep the first `leaves` leaves; returns a new branch with the others."""
        right = Branch()
        rest = slice(leaves, None)
        right.first, right.size, right.count = self.first[rest], self.size[rest], self.count[rest]
        right.page, right.run = self.page[rest], self.run[rest]
        del self.first[rest], self.size[rest], self.count[rest], self.page[rest], self.run[rest]
        return right
