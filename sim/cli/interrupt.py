"""Ctrl-C: what was kept is said, and no process stays behind."""

from __future__ import annotations

import multiprocessing


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a command that can say what was kept; the message is one line."""


def end_children() -> None:
    """End the processes that work for this one, whatever they are doing: nothing waits for them any more."""
    for child in multiprocessing.active_children():
        child.kill()
