"""What no run may break: nothing enqueued is lost, every committed entry is applied once and in order, the sums add up."""

from __future__ import annotations

import pytest

import sim
from sim.assembly import build
from sim.etcd.request import Outcome
from sim.metrics.recorder import Recorder
from sim.units import MINUTE, SECOND


@pytest.fixture(scope="module", params=["leaking", "fixed"])
def watched(request):
    """The small leak with every entry seen on its way: proposed, handed over, answered."""
    scenario = sim.load("zero-value-leak-small").variant(request.param)
    world = build(scenario, 3)
    proposed, applied = [], []
    append, hand_over = world.leader.log.append, world.backend.hand_over

    def appended(entries, by_writer):
        proposed.extend(entries)
        return append(entries, by_writer)

    def handed_over(now, batch, *more):
        found = hand_over(now, batch, *more)
        applied.extend((entry.done, entry.outcome, entry.revision) for entry in batch[:found])
        return found

    world.leader.log = _Watched(world.leader.log, append=appended)
    world.leader._backend = _Watched(world.backend, hand_over=handed_over)
    recorder = Recorder(world, 30 * MINUTE)
    world.env.process(recorder.watch())
    world.env.run(until=30 * MINUTE)
    recorder.observe(30 * MINUTE)
    return world, recorder, proposed, applied


class _Watched:
    """A mechanism with some of its methods replaced (mechanisms have slots)."""

    def __init__(self, mechanism, **methods):
        self._mechanism = mechanism
        self.__dict__.update(methods)

    def __getattr__(self, name):
        return getattr(self._mechanism, name)


def test_every_entry_is_applied_once_and_in_order(watched):
    world, _, proposed, applied = watched
    assert len(proposed) - len(applied) <= 2  # the last batch may still be on its way
    done = [at for at, _, _ in applied]
    assert done == sorted(done)
    assert len(set(done)) == len(done)
    revisions = [revision for _, outcome, revision in applied if outcome in (Outcome.CREATED, Outcome.UPDATED, Outcome.DELETED)]
    assert revisions == sorted(set(revisions))
    assert world.leader.entries == len(proposed)


def test_live_and_dead_are_what_is_retained(watched):
    world, recorder, _, _ = watched
    mvcc, pages = world.backend.mvcc, world.backend.pages
    assert mvcc.retained == mvcc.keys_live + mvcc.dead
    assert sum(world.backend.live_by_writer) == mvcc.keys_live
    assert pages.bytes_total == pages.pages_high_water * 4096
    assert pages.bytes_in_use + pages.pages_free * 4096 == pages.bytes_total
    assert abs(recorder.keys_live - mvcc.keys_live) <= 1  # what is computed ahead has not happened yet
    assert abs(recorder.revision - mvcc.revision) <= 1


def test_no_key_of_the_queue_is_lost(watched):
    """Every entry of the controller's map is waiting for its next pass, queued, or held by a worker."""
    world, _, _, _ = watched
    for controller in world.controllers:
        queue = controller.place.queue
        assert queue.waiting + len(queue) + queue.processing >= len(controller.cache)
        assert queue.adds == queue.gets + queue.depth
        assert controller.tally.reconciles == queue.gets - queue.processing


def test_counts_by_writer_add_up(watched):
    world, recorder, _, _ = watched
    counted = sum(counts.created + counts.updated for counts in recorder.by_writer)
    assert counted == recorder.puts
    frames = sum(world.leader.bytes_by_writer)
    segments = world.leader.log.written
    states = segments - frames
    assert states % 8 == 0
    assert 0.9 * world.leader.entries * 40 <= states <= 1.1 * world.leader.entries * 40 + 96


def test_time_passed_is_whole_nanoseconds(watched):
    world, *_ = watched
    assert isinstance(world.env.now, int)
    assert world.env.now == 30 * 60 * SECOND
