"""The backend file: the B+trees of its buckets, what one commit writes of them, what compaction gives back.

Revisions are keys in time order, so puts arrive at the right edge. Between two commits bbolt only collects: `append` and `free`
note what happened. `commit` does what bbolt's does, in its order:

    rebalance, spill   the leaves and branches of each bucket that changed (`sim.etcd.tree`), then the root
    release            the old pages become free when the next transaction begins (`sim.etcd.freelist`)

Sizes and cuts are in `sim.etcd.leaf`, a branch with its leaves in `sim.etcd.branch`.

Invariant: every page below the high water belongs to a leaf, a branch, a root, to the runs given up last, or is free:
in use + free = high water, which never falls.

Simplified: no reader holds old pages back; keys of bucket `lease` rise, as the ids do that one member gives; the other buckets
are one page, the leaf of the root.

Sources: bbolt tx.go (Commit), db.go (allocate); etcd server/storage/backend/batch_tx.go (FillPercent 0.9 for sequential
buckets). Against files of etcd 3.5.1: equal to the page for new keys, within 1.5% after compaction, where bbolt itself is random
(tests/etcd/test_bbolt_bytes.py).
"""

from __future__ import annotations

from typing import Final

from sim.etcd.freelist import Allocation
from sim.etcd.leaf import FILL, FILL_DEFAULT, PAGE
from sim.etcd.tree import SmallTree, Tree
from sim.units import Bytes

DEFRAG_BATCH: Final = 10_000
"""etcd: backend.go defragLimit."""
REVISION_KEY: Final[Bytes] = 17
"""A key of bucket `key`: main revision, `_`, sub revision."""
LEASE_KEY: Final[Bytes] = 8
"""A key of bucket `lease`: the lease's id, most significant byte first."""


class Pages:
    """Pages of the backend file. All counts are as of the last commit, like etcd's own metrics.

    A slot is the ordinal of a change in bucket `key`: slots rise by one per `append`. leases: bucket `lease`, with slots of its
    own. small_follows_fill: see `Tree`.
    """

    __slots__ = ("_file", "_root", "append", "append_many", "commits", "free", "keys", "leases", "store")

    def __init__(self, small_follows_fill: bool = False) -> None:
        self._file = Allocation()
        self.keys = Tree(self._file, REVISION_KEY, FILL, small_follows_fill, page=4)
        self.leases = SmallTree(self._file, LEASE_KEY, FILL_DEFAULT, small_follows_fill, page=-1)
        self._root = 3  # page of the root bucket's leaf; the small buckets lie in it
        self.append, self.append_many, self.free = self.keys.append, self.keys.append_many, self.keys.free
        self.store = self.keys.sizes.append  # `append` for who does not ask for the slot: no call of ours
        self.commits = 0

    def commit(self) -> int:
        """Rebalance, spill and write, as bbolt's commit does; returns the pages written, bolt's meta page included."""
        self.commits += 1
        file = self._file
        file.begin()
        written = self.keys.spill_leaves()
        leases = self.leases
        if leases.changed:
            written += leases.spill_leaves() + leases.spill_branches()
        file.pending.append((self._root, 1))
        self._root = file.take(1)
        return 2 + written + self.keys.spill_branches()

    def defrag(self) -> Bytes:
        """Copy what lives into a new file, in order, a commit for each 10,000 elements; returns its bytes (backend.go defragdb).

        What waits for a commit must have had it.
        """
        self._file = Allocation()
        self._root = 3
        live = self.keys.rewrite(self._file, 4, DEFRAG_BATCH, self.commit)
        live += self.leases.rewrite(self._file, -1, DEFRAG_BATCH, self.commit)
        self.commit()
        return live

    @property
    def pages_free(self) -> int:
        """Pages that the next transaction can take; those given up by the last commit are not among them yet."""
        return self._file.free.pages

    @property
    def pages_in_use(self) -> int:
        """Pages that are not free."""
        return self._file.high_water - self._file.free.pages

    @property
    def bytes_total(self) -> Bytes:
        """`etcd_mvcc_db_total_size_in_bytes`: the high-water mark; this is what the quota looks at."""
        return self._file.high_water * PAGE

    @property
    def bytes_in_use(self) -> Bytes:
        """`etcd_mvcc_db_total_size_in_use_in_bytes`: half-empty leaves count in full, so do pages just given up."""
        return self.pages_in_use * PAGE

    def element_of(self, slot: int) -> Bytes:
        """Bytes of the element in a slot; 0 once it was freed."""
        return self.keys.sizes[slot]

    @property
    def leaves(self) -> int:
        """Leaves of bucket `key`."""
        return self.keys.leaves

    @property
    def pages_high_water(self) -> int:
        """Pages up to the end of the file, free ones included."""
        return self._file.high_water
