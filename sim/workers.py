"""What every worker process does first: it leaves Ctrl-C to its parent and ends with it, however that ended."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from multiprocessing.process import BaseProcess


def begin_worker() -> None:
    """To be called once in a worker process: a parent that is killed takes it along, instead of leaving it to finish its work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()  # what it was forked with lives as long as it does: each run's collection need not look at it
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
