"""The leanest SimPy loop that has the shape of our problem: what a simulated write must cost at the least.

worker -> think -> server -> batch fsync -> answer -> watch -> queue -> worker: bare re-used events, callbacks instead of
processes, random numbers in blocks, nothing observed. Run: python tests/benchmarks/yardstick.py
"""

from __future__ import annotations

import time
from collections import deque

import numpy as np
from simpy.core import Environment
from simpy.events import NORMAL, Event


def yardstick(keys: int, think: int, fsync: int, horizon: int, seed: int = 1) -> tuple[int, float, float, float]:
    """Writes, CPU seconds per write, mean batch, events per write of a closed loop of `keys` that think (ns, exponential)."""
    env, rng = Environment(0), np.random.default_rng(seed)
    thinks: list[int] = []
    inbox: list[Event] = []
    queue: deque[Event] = deque()
    writes = batches = 0
    saving = False

    def queued(event: Event) -> None:  # a worker is always free: it takes the key at once
        queue.append(event)
        if not thinks:
            thinks.extend((rng.exponential(think, 8192)).astype(np.int64).tolist())
        event.callbacks = arrive
        env.schedule(queue.popleft(), NORMAL, thinks.pop())

    def arrived(event: Event) -> None:
        inbox.append(event)
        if not saving:
            save()

    def save() -> None:
        nonlocal inbox, saving, batches
        saving, batch, inbox, batches = True, inbox, [], batches + 1
        saved = Event(env)
        saved._ok, saved._value, saved.callbacks = True, batch, done
        env.schedule(saved, NORMAL, fsync)

    def answer(saved: Event) -> None:
        nonlocal writes, saving
        saving = False
        writes += len(saved._value)
        for event in saved._value:
            event.callbacks = watch
            env.schedule(event, NORMAL, 200_000)
        if inbox:
            save()

    def watched(event: Event) -> None:
        event.callbacks = back
        env.schedule(event, NORMAL, 2_000_000)

    arrive, done, watch, back = [arrived], [answer], [watched], [queued]
    for _ in range(keys):
        event = Event(env)
        event._ok, event._value = True, None
        queued(event)
    began = time.process_time()
    env.run(until=horizon)
    cpu = time.process_time() - began
    return writes, cpu / writes, writes / batches, next(env._eid) / writes


if __name__ == "__main__":
    for keys, think in ((550, 20_000_000_000), (500, 100_000), (1500, 1_000)):
        writes, cost, batch, events = yardstick(keys, think, 1_200_000, 150_000 * (think + 3_500_000) // keys)
        print(f"{writes} writes, batch {batch:.1f}: {cost * 1e6:.2f} us and {events:.2f} events per write")
