"""What client-go's histograms and gauges of a queue observe, hand-computed."""

from __future__ import annotations

from sim.clientgo.delaying import DelayingQueue
from sim.clientgo.priority_queue import LOW_PRIORITY, PriorityQueue
from sim.clientgo.priority_queue_022 import PriorityQueue022
from sim.clientgo.queue_metrics import UnfinishedWorkGauges
from sim.clientgo.workqueue import Queue
from sim.units import MILLISECOND, SECOND


def test_queue_duration_includes_the_rest_of_the_previous_run() -> None:
    queued: list[int] = []
    worked: list[int] = []
    queue = Queue(queued.append, worked.append)
    queue.add(0, "a")
    queue.get(10)
    queue.add(30, "a")
    queue.done(100, "a")
    queue.get(105)
    queue.done(107, "a")
    assert queued == [10, 75]
    assert worked == [90, 2]


def test_queue_duration_excludes_the_delay_but_not_a_late_look() -> None:
    """The key became ready at its own time, even if nobody looked at the queue before a later one."""
    for queue in (DelayingQueue(), PriorityQueue()):
        queued: list[int] = []
        queue.on_queue_duration = queued.append
        queue.add_after(0, "a", 1000)
        assert queue.advance(1500) == 1
        queue.get(1600)
        assert queued == [600]


def test_drain_ends_when_nothing_is_held() -> None:
    queue = Queue()
    queue.add(0, "a")
    queue.get(0)
    queue.shut_down_with_drain(1)
    assert not queue.drained
    queue.done(2, "a")
    assert queue.drained


def test_a_shutdown_cuts_a_drain_short() -> None:
    queue = Queue()
    queue.add(0, "a")
    queue.get(0)
    queue.shut_down_with_drain(1)
    queue.shut_down(2)
    assert queue.drained


def test_gauges_show_the_last_tick_and_stay_after_shutdown() -> None:
    queue = Queue()
    gauges = UnfinishedWorkGauges(queue)
    for key in ("a", "b"):
        queue.add(0, key)
    queue.get(100 * MILLISECOND)
    queue.get(300 * MILLISECOND)
    gauges.advance(499 * MILLISECOND)
    assert gauges.unfinished_seconds == 0.0
    gauges.advance(1400 * MILLISECOND)
    assert gauges.unfinished_seconds == 0.9 + 0.7
    assert gauges.longest_running_seconds == 0.9
    assert queue.unfinished(1400 * MILLISECOND) == 1.3 + 1.1
    queue.shut_down(1450 * MILLISECOND)
    queue.done(1460 * MILLISECOND, "a")
    gauges.advance(5 * SECOND)
    assert gauges.longest_running_seconds == 0.9


def test_a_retry_can_keep_the_priority_of_its_run() -> None:
    queue = PriorityQueue()
    queue.add(0, "a", LOW_PRIORITY)
    queue.get(0)
    queue.add_rate_limited(0, "a", queue.priority_of("a"))
    queue.done(0, "a")
    queue.add(1, "b")
    queue.advance(SECOND)
    assert [queue.get(SECOND), queue.get(SECOND)] == ["b", "a"]
    assert queue.priority_of("a") == LOW_PRIORITY


def test_len_of_release_0_22_stops_at_the_first_key_that_is_not_ready() -> None:
    for queue, length in ((PriorityQueue(), 2), (PriorityQueue022(), 1)):
        queue.add(0, "urgent", 10)
        queue.add_after(0, "later", SECOND, 5)
        queue.add(0, "ready")
        assert len(queue) == length
        assert queue.next_due() == SECOND
        assert queue.advance(SECOND) == 1
        assert len(queue) == 3


def test_pulling_a_key_forward_again_and_again_does_not_pile_up_entries() -> None:
    queue = PriorityQueue()
    for now in range(10_000):
        queue.add_after(now, "a", 3600 * SECOND)
        queue.add(now, "a")
        queue.get(now)
        queue.done(now, "a")
    assert len(queue._waiting_heap) < 100
