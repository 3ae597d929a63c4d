"""How many seats a request takes: the server's work estimators as pure functions.

A LIST is as wide as what it loads (by size since 1.34, by number of objects before), a write as wide as the watchers it
will wake, everything else one seat. No request is wider than its level allows (`max_seats`), so that a narrow level is
not blocked by one request.

A WATCH holds seats only until it has sent what there is: as a LIST from the cache if it asks for that (sendInitialEvents;
since 1.35 also without a resource version or from "0"), else one seat. What is served by the cache: everything but pages
after the first, exact resource versions, and a first page from a resource version other than "" and "0".

Source: k8s.io/apiserver v0.35.0, pkg/util/flowcontrol/request/list_work_estimator.go, mutating_work_estimator.go,
config.go, width.go; features/kube_features.go (SizeBasedListCostEstimate: beta, on by default since 1.34).
"""

from __future__ import annotations

import math
from typing import Final

from sim.apiserver.flowcontrol.work import ONE_SEAT, Work, duration_per_seat, ticks
from sim.units import MILLISECOND, Bytes, Nanoseconds

OBJECTS_PER_SEAT: Final = 100.0
BYTES_PER_SEAT: Final = 100_000
CACHE_STREAMING_BYTES: Final = 1_000_000
"""A list from the watch cache is streamed: it never holds more than this at once."""
UNKNOWN_OBJECT_BYTES: Final = 1_500_000
"""Assumed size of an object where the average is not known (maxObjectSize)."""
STALE_COUNT: Final = 1_000_000_000
"""Assumed number of objects where the count is stale (infiniteObjectCount)."""
MAX_LIST_SEATS_BY_SIZE: Final = 100
MAX_LIST_SEATS_BY_COUNT: Final = 10
WATCHES_PER_SEAT: Final = 10.0
EVENT_EXTRA: Final[Nanoseconds] = 5 * MILLISECOND
"""Seat time per ten watchers after a write (eventAdditionalDuration)."""
MAX_MUTATING_SEATS: Final = 10


def list_work(
    stored: int | None,
    average_bytes: Bytes = 0,
    *,
    limit: int = 0,
    from_cache: bool = True,
    selector: bool = False,
    one_name: bool = False,
    max_seats: int = 0,
) -> Work:
    """Work of a LIST, or of a WATCH that first sends what there is, by the size of what it loads (1.34 and later).

    stored: objects of the resource, None if the server does not know it (an aggregated API: one seat); average_bytes:
    their average size, 0 if unknown; limit: the page size, 0 for none; from_cache: served by the watch cache;
    selector: with a field or label selector; one_name: metadata.name is selected; max_seats: the level's, 0 for none.
    """
    if stored is None:
        return ONE_SEAT
    if average_bytes <= 0 and stored:
        average_bytes = UNKNOWN_OBJECT_BYTES
    loaded = min(stored, limit) if limit > 0 else stored
    if one_name:
        loaded = 1
    elif selector and not from_cache:
        loaded = max(loaded, stored // 2)
    size = loaded * average_bytes
    if from_cache:
        size = min(size, CACHE_STREAMING_BYTES)
    return _wide(math.ceil(size / BYTES_PER_SEAT), max_seats, MAX_LIST_SEATS_BY_SIZE)


def list_work_by_count(
    stored: int | None,
    *,
    limit: int = 0,
    from_cache: bool = True,
    selector: bool = False,
    one_name: bool = False,
    max_seats: int = 0,
) -> Work:
    """Work of a LIST by the number of objects it looks at (1.33 and earlier, or without SizeBasedListCostEstimate).

    Arguments as `list_work`. From the cache the page size does not matter: all stored objects are looked at.
    """
    if stored is None:
        return ONE_SEAT
    page = min(stored, limit) if limit > 0 else stored
    if one_name:
        looked_at = 1
    elif from_cache:
        looked_at = stored
    elif selector:
        looked_at = stored + page
    else:
        looked_at = 2 * page
    return _wide(math.ceil(looked_at / OBJECTS_PER_SEAT), max_seats, MAX_LIST_SEATS_BY_COUNT)


def mutating_work(watchers: int, max_seats: int = 0) -> Work:
    """Work of a create, update, patch or delete whose event goes to `watchers` of this server.

    From ten watchers on, ceil(watchers / 10) seats for 5 ms after the answer, narrowed to `max_seats` (the level's, 0
    for none; at most 10) and made longer for it. The watchers are those of the resource, its namespace and the object
    itself; those of pods that select another node do not count (watch_tracker.go).
    """
    if watchers < WATCHES_PER_SEAT:
        return ONE_SEAT
    wanted = math.ceil(watchers / WATCHES_PER_SEAT)
    seats = min(wanted, _cap(max_seats, MAX_MUTATING_SEATS))
    return Work(1, seats, duration_per_seat(ticks(float(wanted), EVENT_EXTRA), float(seats)))


def _wide(seats: int, max_seats: int, at_most: int) -> Work:
    seats = min(max(seats, 1), _cap(max_seats, at_most))
    return ONE_SEAT if seats == 1 else Work(seats)


def _cap(max_seats: int, at_most: int) -> int:
    return at_most if max_seats == 0 else min(max_seats, at_most)
