"""Named random streams: each component draws from its own, so that what one does never shifts what another draws.

A stream is PCG64 seeded by (seed, name). Delays take one uniform a draw through a quantile table, so two variants that use the same
stream stay aligned draw by draw (common random numbers), whatever their distributions are. Raw uniforms only: their
bits are the same in every numpy version; numpy's own distributions are not promised to be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.units import Nanoseconds

SLICES: Final = 4096
"""A quantile table cuts the probabilities into so many equal slices, and the last of these into so many again: a table of
2 * SLICES - 1 entries, whose rarest is drawn once in 17 million."""
_LAST: Final = SLICES - 1

PROBABILITIES: Final[NDArray[np.float64]] = np.concatenate(
    [(np.arange(_LAST) + 0.5) / SLICES, (_LAST + (np.arange(SLICES) + 0.5) / SLICES) / SLICES]
)
"""For each entry of a table the probability whose quantile it is: the middle of its slice. Shape (2 * SLICES - 1,)."""
WEIGHTS: Final[NDArray[np.float64]] = np.concatenate([np.full(_LAST, 1 / SLICES), np.full(SLICES, 1 / SLICES**2)])
"""For each entry of a table how probable it is. Sums to 1."""


class Stream:
    """Uniforms in [0, 1) of one named component."""

    def __init__(self, seed: int, name: str, block: int = 4096):
        digest = hashlib.sha256(name.encode()).digest()
        words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]
        self._generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))
        self._block = block
        self._uniforms: list[float] = []

    def uniform(self) -> float:
        """The next uniform in [0, 1)."""
        if not self._uniforms:
            self._uniforms = self._generator.random(self._block).tolist()
            self._uniforms.reverse()
        return self._uniforms.pop()

    def block(self, size: int) -> NDArray[np.float64]:
        """The next `size` uniforms as an array; not to be mixed with `uniform` on one stream."""
        return self._generator.random(size)


class Streams:
    """The streams of one run, by name: `streams("etcd.a.wal")` is the same sequence in every run with this seed."""

    def __init__(self, seed: int):
        self.seed = seed

    def __call__(self, name: str, block: int = 4096) -> Stream:
        return Stream(self.seed, name, block)


class Delays:
    """Durations in nanoseconds, drawn by inverting a quantile table: one uniform of `stream` a draw.

    quantiles: a table in nanoseconds, rising, of the shape of PROBABILITIES. `draw()` gives the
    next one; it is an iterator's own method, because a run draws some ten million times.
    """

    __slots__ = ("_quantiles", "draw")

    def __init__(self, stream: Stream, quantiles: NDArray[np.float64], block: int = 4096):
        self._quantiles = np.maximum(np.rint(quantiles), 0).astype(np.int64)
        self.draw: Callable[[], Nanoseconds] = chain.from_iterable(self._blocks(stream, block)).__next__

    def _blocks(self, stream: Stream, size: int) -> Iterator[list[Nanoseconds]]:
        while True:
            place = stream.block(size) * SLICES
            index = place.astype(np.int64)
            tail = np.flatnonzero(index == _LAST)
            index[tail] += ((place[tail] - _LAST) * SLICES).astype(np.int64)
            yield self._quantiles[index].tolist()

    @property
    def mean(self) -> float:
        """Mean of the table, nanoseconds."""
        return float(self._quantiles @ WEIGHTS)
