"""Variants side by side: the same runs as one after the other, and nothing hangs when one of them goes away."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time

import pytest

import sim


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes cannot be killed here")
def test_a_variant_that_is_killed_ends_the_run_with_a_reason():
    scenario = sim.load("zero-value-leak")

    def kill_one() -> None:
        for _ in range(200):
            children = multiprocessing.active_children()
            if len(children) == 2:
                time.sleep(0.3)
                os.kill(children[0].pid or 0, signal.SIGKILL)
                return
            time.sleep(0.02)

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(sim.InputError, match=r"was ended from outside \(exit code -9\)"):
        sim.run(scenario, workers=2)
    killer.join()
    assert not multiprocessing.active_children()


def test_side_by_side_is_the_same_as_one_after_the_other():
    scenario = sim.load("zero-value-leak-small").with_({"horizon": "5m"})
    told: list[sim.Progress] = []
    alone, together = sim.run(scenario, workers=1), sim.run(scenario, workers=2, progress=told.append)
    assert list(alone) == list(together) == ["leaking", "fixed"]
    assert all(alone[name].metrics == together[name].metrics for name in alone)
