"""The default executor: local processes that end when their parent does, however it ended."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import Executor, ProcessPoolExecutor


def processes(workers: int) -> ProcessPoolExecutor:
    """So many worker processes."""
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)


def end(executor: Executor) -> None:
    """End an executor now: what it works on is not waited for."""
    executor.shutdown(wait=False, cancel_futures=True)
    # Without this a worker would finish its run first, which may take minutes; the module has no public way before 3.14.
    for process in list((getattr(executor, "_processes", None) or {}).values()):
        with contextlib.suppress(Exception):
            process.kill()


def _begin() -> None:
    """In a worker: leave Ctrl-C to the parent, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)
