"""The one description that both sides read."""

from __future__ import annotations

from itertools import islice

import pytest

from sim.errors import InputError
from sim.validation.workload import WORKLOADS, Workload, choose


def test_arrivals_are_a_poisson_process_and_the_same_every_time() -> None:
    workload = Workload("w", rate=1000)
    first = workload.arrivals(10, 3)
    assert first == workload.arrivals(10, 3) != workload.arrivals(10, 4)
    assert first == sorted(first)
    assert len(first) == pytest.approx(10_000, rel=0.05)
    assert 0 < first[0] < first[-1] < 10**10


def test_keys_and_leases_have_one_length() -> None:
    workload = Workload("w", key_bytes=40)
    assert {len(workload.key(number)) for number in (0, 9, 123_456, 10**9)} == {40}
    assert len({workload.key(number) for number in range(1000)}) == 1000
    assert {(workload.lease(number).bit_length() + 6) // 7 for number in (0, 1, 10**6)} == {9}


def test_overwritten_keys_are_within_the_key_space() -> None:
    found = list(islice(Workload("w", "put_over", key_space=7).overwritten(1), 500))
    assert set(found) == set(range(7))


def test_every_workload_has_a_name_and_says_what_it_is() -> None:
    assert len({workload.name for workload in WORKLOADS}) == len(WORKLOADS) >= 5
    for workload in WORKLOADS:
        assert bool(workload.clients) != bool(workload.rate)
        assert workload.about
        assert 1 <= workload.connections <= 8
        assert workload.value_bytes + workload.key_bytes < 60_000  # a request fits HTTP/2's first window


def test_workloads_are_chosen_by_name() -> None:
    assert choose([]) == list(WORKLOADS)
    assert [workload.name for workload in choose(["lease", "c1-1k"])] == ["c1-1k", "lease"]
    with pytest.raises(InputError, match=r'"c1-2k" is not a workload; did you mean "c1-1k"\?'):
        choose(["c1-2k"])
