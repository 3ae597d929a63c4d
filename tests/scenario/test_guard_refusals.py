"""Mistakes in guards, storms and back-offs: one line each."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_refusals import HEAD, refusal_of

LIMITER = HEAD + "guards: {limiter: {kind: write_limiter, rate: 500/s, "
STORM = HEAD + "objects: {inv: {key_bytes: 40, value_bytes: 10}}\nworkloads: {storm: {object: inv, rate: 5/s, for: 1s, "

CASES = {
    HEAD + "guards: {limiter: {kind: writelimiter}}": (
        'guards.limiter.kind: "writelimiter" is not a kind of guard; did you mean "write_limiter"?'
    ),
    HEAD + "guards: {limiter: {rate: 5}}": "guards.limiter.kind: missing; one of write_limiter, breaker",
    HEAD + "guards: {limiter: 5}": 'guards.limiter: "5" is not a mapping, such as {kind: write_limiter, rate: 500/s}',
    HEAD + "guards: {limiter: {kind: write_limiter}}": "guards.limiter.rate: missing; it is required",
    LIMITER + "capacity: 0}}": 'guards.limiter.capacity: "0" is not a multiple above zero; write 2x, or a number',
    LIMITER + "methods: [Put, Put]}}": (
        'guards.limiter.methods: "[Put, Put]" is not allowed; name each limited method once, at least one'
    ),
    LIMITER + "prefixes: {pods: 1}}}": (
        'guards.limiter.prefixes.pods: "pods" is not a prefix of keys; write it such as /registry/pods/'
    ),
    LIMITER + "prefixes: {/a/: 0}}}": 'guards.limiter.prefixes./a/: "0" is not allowed; it must be above zero',
    LIMITER + "cut: {by: 130%}}}": 'guards.limiter.cut.by: "130%" is not a fraction; write 12% or a number from 0 to 1',
    HEAD + "guards: {a: {kind: write_limiter, rate: 1}, b: {kind: write_limiter, rate: 1}}": (
        'guards.b.kind: "write_limiter" is there already (guards.a); one guard of a kind'
    ),
    HEAD + "guards: {b: {kind: breaker, objects: [pod, podd]}}": (
        'guards.b.objects: "podd" is not a declared object; did you mean "pod"?'
    ),
    STORM + "via: api}}": 'workloads.storm.via: "api" is not allowed; one of etcd',
    STORM + "retry: {attempts: 5000}}}": 'workloads.storm.retry.attempts: "5000" is too many; write at most 1000',
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), CASES.items(), ids=range(len(CASES)))
def test_a_mistake_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    assert refusal_of(tmp_path, text) == said
