"""Looks at the memory of members every second: who is out of it, and what walks over the database cost because of it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, Final

from sim.etcd.backend import Backend
from sim.etcd.memory import Memory
from sim.processes.events import Clock
from sim.processes.lead import Lead
from sim.units import SECOND, Nanoseconds

_PAGE: Final = 4096


def watch_memory(
    env: Clock, memories: Mapping[str, Memory], leader: Lead, backend: Backend, key_bytes: Callable[[], float],
    page_fault: Nanoseconds, incident: Callable[[Nanoseconds, str, str], None],
) -> Generator[Any, Any, None]:  # fmt: skip
    """Walks over the database are simulated for whoever leads. page_fault: read of one page, nanoseconds."""
    while True:
        now = env._now
        mvcc, length = backend.mvcc, key_bytes()
        size, in_use = backend.database.value_at(now, 0), backend.database.value_at(now, 1)
        entry = leader.log.written / leader.entries if leader.entries else 0.0
        for name, memory in memories.items():
            if memory.see(mvcc.keys_live, length, mvcc.retained, leader.entries, entry, size):
                needs = f"{name}: the process needs {memory.heap:,} bytes of {memory.limit:,} and is killed"
                incident(now, "out_of_memory", f"{needs}; what follows is not simulated")
        leads = leader.member.name
        if leads in memories and mvcc.retained:
            backend.fault = memories[leads].missing * page_fault * in_use / _PAGE / mvcc.retained
        yield env.timeout(SECOND)
