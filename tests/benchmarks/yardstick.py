"""The leanest SimPy loop: worker, queue, think, server, batch fsync, answer, watch, queue. What a write costs at the least."""

import time
from collections import deque
from heapq import heappop

import numpy as np
from simpy.core import Environment
from simpy.events import NORMAL, Event


def yardstick(keys: int, think: int, fsync: int, horizon: int, seed: int = 1) -> tuple[int, float, float, float]:
    """Writes, CPU seconds a write, mean batch, events a write of a closed loop of `keys` that think (ns, exponential)."""
    env, rng, thinks, queue, inbox = Environment(0), np.random.default_rng(seed), [], deque(), []
    saved, schedule, writes, batches, saving = Event(env), env.schedule, 0, 0, False

    def queued(event):  # a worker is always free: it takes the key at once
        queue.append(event)
        if not thinks:
            thinks.extend(rng.exponential(think, 8192).astype(np.int64).tolist())
        event.callbacks = arrive
        schedule(queue.popleft(), NORMAL, thinks.pop())

    def arrived(event):
        inbox.append(event)
        if not saving:
            save()

    def save():
        nonlocal inbox, saving, batches
        saving, saved._value, saved.callbacks, inbox, batches = True, inbox, done, [], batches + 1
        schedule(saved, NORMAL, fsync)

    def answer(saved):
        nonlocal writes, saving
        saving, writes = False, writes + len(saved._value)
        for event in saved._value:
            event.callbacks = watch
            schedule(event, NORMAL, 200_000)
        if inbox:
            save()

    def watched(event):
        event.callbacks = back
        schedule(event, NORMAL, 2_000_000)

    arrive, done, watch, back = [arrived], [answer], [watched], [queued]
    for _ in range(keys):
        queued(Event(env))
    events, began = env._queue, time.process_time()
    while events[0][0] < horizon:  # as Environment.run does, without a call an event
        env._now, _, _, event = heappop(events)
        for callback in event.callbacks:
            callback(event)
    return writes, (time.process_time() - began) / writes, writes / batches, next(env._eid) / writes


if __name__ == "__main__":
    for case in ((550, 20_000_000_000, 1_200_000, 5_450_000_000_000), (500, 15_000_000, 1_200_000, 5_550_000_000)):
        print("{} writes: {:.2e} s of CPU, batch {:.1f}, {:.2f} events per write".format(*yardstick(*case)))
