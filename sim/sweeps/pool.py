"""The default executor: local processes that end when their parent does, however it ended."""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
from concurrent.futures import Executor, ProcessPoolExecutor

from sim.workers import begin_worker


def processes(count: int) -> ProcessPoolExecutor:
    """So many worker processes."""
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    return ProcessPoolExecutor(count, mp_context=context, initializer=begin_worker)


def end(executor: Executor) -> None:
    """End an executor now: what it works on is not waited for."""
    executor.shutdown(wait=False, cancel_futures=True)
    # Without this a worker would finish its run first, which may take minutes; the module has no public way before 3.14.
    for process in list((getattr(executor, "_processes", None) or {}).values()):
        with contextlib.suppress(Exception):
            process.kill()
