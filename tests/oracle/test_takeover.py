"""A change of leader: the fast model and the oracle answer every request at the same nanosecond, before it and after it."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from oracle.takeover import Succession
from oracle.test_oracle import SEED, Fast, case

from sim.processes.elections import Elections
from sim.scenario import Scenario
from sim.units import MILLISECOND, Nanoseconds

CRASH: Nanoseconds = 300 * MILLISECOND
SURE = {"fdatasync": {"median": "1ms", "p99": "6ms"}, "bandwidth": "100GB/s"}


def described(members: int, clients: int, crash: Nanoseconds, network: dict[str, str]) -> Scenario:
    fault = {"kind": "crash", "target": "members.a", "at": f"{crash}ns", "for": "60s"}
    return case(
        "2500ms", clients, members=members, disk=SURE, faults=[fault], network=network, batch_interval="1h", request_timeout="400ms"
    ).scenario


@pytest.mark.parametrize("late", [0, 137_000, 1_311_000])
@pytest.mark.parametrize(
    ("members", "clients", "network"),
    [
        (3, 5, {"rtt": "400us", "jitter": "200us"}),
        (3, 60, {"rtt": "2ms", "jitter": "3ms"}),
        (5, 30, {"rtt": "1ms", "jitter": "1ms"}),
    ],
)  # fmt: skip
def test_a_crash_of_the_leader(members: int, clients: int, network: dict[str, str], late: Nanoseconds) -> None:
    crash = CRASH + late
    scenario = described(members, clients, crash, network)
    fast = Fast(scenario)
    voted: list[tuple[Nanoseconds, str]] = []
    save_vote = Elections._save_vote

    def noted(self: Elections, name: str, now: Nanoseconds) -> Nanoseconds:
        voted.append((self._env._now, name))
        return save_vote(self, name, now)

    with patch.object(Elections, "_save_vote", noted):
        seen = fast.run(scenario.horizon)
    (_, _), (at, leads) = fast.world.leader.led
    assert crash < at < scenario.horizon - 500 * MILLISECOND
    plain = Succession(scenario, SEED, crash, leads, at, voted)
    plain.env.run(until=scenario.horizon)
    answers = sorted((one.arrives, one.answered, one.outcome) for one in plain.requests if one.outcome)
    assert {outcome for _, _, outcome in answers} >= {"CREATED", "UNAVAILABLE"}
    assert sum(arrives > at for arrives, _, _ in answers) > 50
    assert [row[:3] for row in seen["requests"]] == answers
    assert seen["batches"] == plain.batches
