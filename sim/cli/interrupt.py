"""Ctrl-C and SIGTERM: what was kept is said, nothing half-written stays, and no process stays behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a command that can say what was kept; the message is one line."""


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """While open, SIGTERM ends a command as Ctrl-C does; by default it would leave the worker processes running."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    parent = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() != parent:
            os._exit(128 + number)  # a worker, forked with this handler: it is to end, not to explain itself
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def end_children() -> None:
    """End the processes that work for this one, whatever they are doing: nothing waits for them any more."""
    for child in multiprocessing.active_children():
        child.kill()
