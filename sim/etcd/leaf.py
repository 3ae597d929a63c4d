"""Sizes in the backend file: of an element of a leaf, of leaves and branches, and where bbolt cuts a leaf.

A leaf that outgrows a page is cut after the elements that fit 90% of it, but at least 2 elements stay on either side, and a
leaf of at most 4 elements is never cut. So how full leaves get depends on how many puts share a commit: with many,
m = max(2, floor(3670 / e)) elements of e bytes; with one put per commit the right half of a cut keeps too much, and 1 KiB
values take 2,068 bytes instead of 1,378.

Sources: bbolt node.go (split, splitTwo, splitIndex), page.go; etcd server/storage/backend/batch_tx.go (FillPercent 0.9 for
sequential buckets), server/storage/mvcc/revision.go (revToBytes), mvccpb.KeyValue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sim.etcd.wal import ld, vl
from sim.units import Bytes

PAGE: Final[Bytes] = 4096
"""Page size: that of the operating system."""
PAGE_HEADER: Final[Bytes] = 16
FILL: Final[Bytes] = 3686
"""A leaf is closed when its size would pass this: int(0.9 * PAGE), set by etcd for buckets written in key order."""
FILL_DEFAULT: Final[Bytes] = 2048
"""The same in a transaction without puts, where bbolt's default of 0.5 holds (bbolt DefaultFillPercent)."""
SMALL: Final[Bytes] = 1024
"""A leaf of at most this size that lost elements is merged with a neighbour (node.go rebalance: a quarter page)."""
INLINE: Final[Bytes] = 1024
"""Up to this size a bucket of one leaf lies in the root's leaf (bucket.go maxInlineBucketSize: a quarter page)."""
NEVER_CUT: Final = 4
"""A leaf of at most this many elements is not split, whatever their size (bbolt: 2 * minKeysPerPage)."""
BRANCH_ELEMENT: Final[Bytes] = 16 + 17
"""An element of a branch page: header and the first key of the page below."""
LEAVES_PER_BRANCH: Final = (FILL - PAGE_HEADER) // BRANCH_ELEMENT
"""111."""


def key_value(key: Bytes, value: Bytes, create: int, mod: int, version: int, lease: int = 0) -> Bytes:
    """Bytes of the stored mvccpb.KeyValue: key and value length, create and mod revision, version, lease id."""
    return (
        ld(key)
        + (1 + vl(create))
        + (1 + vl(mod))
        + (1 + vl(version))
        + (ld(value) if value else 0)
        + (1 + vl(lease) if lease else 0)
    )


def element(kv: Bytes) -> Bytes:
    """Bytes of one revision in a leaf: element header 16, bucket key 17 (main revision, `_`, sub revision), value."""
    return 16 + 17 + kv


def tombstone(key: Bytes) -> Bytes:
    """Bytes of a deletion in a leaf: the bucket key is one longer (`t`), the value holds the key only."""
    return 16 + 18 + ld(key)


def lease(lease: int, ttl_seconds: int) -> Bytes:
    """Bytes of a lease in a leaf of bucket `lease`: element header 16, bucket key 8, the message Lease with its id and TTL."""
    return 16 + 8 + (1 + vl(lease)) + (1 + vl(ttl_seconds))


def elements_per_leaf(e: Bytes) -> int:
    """Equal elements in a closed leaf, where many are written per commit."""
    return max(2, (FILL - PAGE_HEADER) // e)


def pages_of(size: Bytes) -> int:
    """Pages of a leaf whose elements sum up to `size` bytes."""
    return -(-(PAGE_HEADER + size) // PAGE)


def bytes_per_revision(e: Bytes) -> float:
    """Bytes of file per revision for equal elements, branch pages included, where many are written per commit."""
    m = elements_per_leaf(e)
    return PAGE * (pages_of(m * e) + 1 / LEAVES_PER_BRANCH) / m


def split(sizes: Sequence[Bytes], fill: Bytes) -> list[tuple[int, int, Bytes]]:
    """The leaves into which bbolt cuts these elements: index of the first, their number, their bytes (node.go split)."""
    leaves = []
    begin, total, rest = 0, len(sizes), sum(sizes)
    while PAGE_HEADER + rest >= PAGE and total - begin > NEVER_CUT:
        # Two elements go in whatever their size; two stay behind, and bbolt's loop ends one element before them.
        size = sizes[begin] + sizes[begin + 1]
        index = begin + 2
        while index < total - 3 and PAGE_HEADER + size + sizes[index] <= fill:
            size += sizes[index]
            index += 1
        leaves.append((begin, index - begin, size))
        rest -= size
        begin = index
    leaves.append((begin, total - begin, rest))
    return leaves
