"""The store behind a command that needs many runs: in the folder that is named, or for as long as the command lasts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from sim.cli.interrupt import Interrupted
from sim.errors import InputError

if TYPE_CHECKING:
    from sim.cli.sweep import Watch
    from sim.sweeps.store import Store


@contextmanager
def store_at(out: Path | None) -> Iterator[tuple[Store, Watch]]:
    """The store in `out`, old or new, or one that goes with the block where that is None; and what shows progress.

    Raises Interrupted, saying what was kept, for Ctrl-C in the block, and InputError where the disk is full.
    """
    from sim.cli.sweep import Watch
    from sim.sweeps.store import Store, StoreFull

    with nullcontext(None) if out is not None else tempfile.TemporaryDirectory(prefix="etcdsim-") as passing:
        directory = out if out is not None else Path(str(passing)) / "store"
        try:
            with Store(directory, create=True) as store, Watch() as watch:
                try:
                    yield store, watch
                except KeyboardInterrupt:
                    kept = f"start again to go on, in {out}" if out is not None else "nothing was kept"
                    raise Interrupted(f"interrupted {watch.where()}; {kept}") from None
        except StoreFull as problem:
            raise InputError(str(problem)) from None
