"""Mistakes in what says how controllers, their informers and queues, webhooks and API servers behave: one line each, exactly.

A table a section: what is written there, and what is said about it, below the section's own path. `ODD`: what
`etcdsim check` warns of.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from sim.errors import InputError
from sim.scenario import Scenario, load, warnings

HEAD = "horizon: 1m\netcd: {members: {a: {}}}\n"
WIDGET = "objects: {widget: {key_bytes: 60, value_bytes: 1kB}}\n"

DURATION = "; write 300ms, 5m, 1h30m or a number of seconds"
DISTRIBUTION = DURATION + ", or a duration, {median, p99}, {mean, sd}, {quantiles} or {mixture}"
EVERY = "; write exp(157s) for exponential gaps, or 300ms, 5m, 1h30m or a number of seconds"
RATE = "; write 27/s, 600/min, 4/h or a number per second"
FRACTION = "; write 12% or a number from 0 to 1"
COUNT = "; write a whole number from 0"
POSITIVE = "; it must be above zero"
NAME_ONLY = "; letters, digits, - and _"
NAME = NAME_ONLY + ", in quotes if it is a number"
TOO_LONG = " is too long; write at most 36500d"
UNWATCHED = " is not allowed: a controller that works on objects has to watch them"
MATCH = '; write operations and an object, such as "create update pods" or "* *"'

Table = Mapping[str, str]

INFORMERS = {
    "{object: podd}": '.object: "podd" is not a declared object; did you mean "pod"?',
    "{object: 5}": '.object: "5" is not a name' + NAME,
    "{resync: -1}": '.resync: "-1" is negative' + DURATION,
    "{resync: soon}": '.resync: "soon" is not a duration' + DURATION,
    "{resync: true}": '.resync: "true" is not a duration' + DURATION,
    "{resync: 1ns}": '.resync: "1ns" is too short; write at least 1s, or never',
    "{resync: 999ms}": '.resync: "999ms" is too short; write at least 1s, or never',
    "{fifo: fast}": '.fifo: "fast" is not allowed; one of delta, real',
    "{selector: app}": '.selector: "app" is not a list of labels; write app=web or app=web,tier=front',
    "{selector: {a: b}}": '.selector: "{a: b}" is not a list of labels; write app=web or app=web,tier=front',
    "{selector: a!=b}": '.selector: "a!=b" is not a list of labels; write app=web or app=web,tier=front',
    "pods": ': "pods" is not a mapping; allowed keys: object, selector, resync, fifo, streaming_list',
    "{slector: a=b}": '.slector: unknown key; did you mean "selector"?',
    "{predicate: none}": ".predicate: unknown key; allowed: object, selector, resync, fifo, streaming_list",
}  # fmt: skip

CONTROLLERS = {
    "{count: 2.5}": '.count: "2.5" is not a whole number',
    "{count: .nan}": '.count: "nan" is not a whole number',
    "{count: .inf}": '.count: "inf" is not a whole number',
    "{count: true}": '.count: "true" is not a whole number',
    "{count: many}": '.count: "many" is not a whole number',
    "{count: [1]}": '.count: "[1]" is not a whole number',
    "{count: {}}": '.count: "{}" is not a whole number',
    "{count: 0}": '.count: "0" is not allowed' + POSITIVE,
    "{standby: -1}": '.standby: "-1" is negative' + COUNT,
    "{standby: 2.5}": '.standby: "2.5" is not a whole number',
    "{shards: 0}": '.shards: "0" is not allowed' + POSITIVE,
    '{workers: "3 pods"}': '.workers: "3 pods" is not a whole number',
    "{cpus: 0}": '.cpus: "0" is not allowed' + POSITIVE,
    "{max_retries: -1}": '.max_retries: "-1" is negative' + COUNT,
    "{max_retries: 2.5}": '.max_retries: "2.5" is not a whole number',
    "{client: {timeout: 0}}": '.client.timeout: "0" is not allowed' + POSITIVE,
    "{client: {timeout: adaptiv}}": '.client.timeout: "adaptiv" is not a duration' + DURATION,
    "{restart: -5s}": '.restart: "-5s" is not a duration' + DURATION,
    "{restart: 0}": '.restart: "0" is not allowed' + POSITIVE,
    "{restart: never}": '.restart: "never" is not a duration' + DURATION,
    "{restart: 5 mins}": '.restart: "5 mins" is not a duration' + DURATION,
    "{restart: [1s]}": '.restart: "[1s]" is not a duration' + DURATION,
    "{election: {lease_duration: -1}}": '.election.lease_duration: "-1" is negative' + DURATION,
    "{election: {lease_duration: .nan}}": '.election.lease_duration: "nan" is not a duration' + DURATION,
    "{election: {renew_deadline: soon}}": '.election.renew_deadline: "soon" is not a duration' + DURATION,
    "{election: {renew_deadline: 0}}": '.election.renew_deadline: "0" is not allowed' + POSITIVE,
    "{election: {retry_period: off}}": '.election.retry_period: "off" is not a duration' + DURATION,
    "{election: {release_on_cancel: maybe}}": '.election.release_on_cancel: "maybe" is not true or false',
    "{election: {lease_duration: 10s, renew_deadline: 10s}}":
        '.election.lease_duration: "10s" is not longer than the renew deadline of 10s',
    "{election: {lease_duration: 5s}}": '.election.lease_duration: "5s" is not longer than the renew deadline of 10s',
    "{election: {renew_deadline: 20s}}": '.election.lease_duration: "15s" is not longer than the renew deadline of 20s',
    "{election: {renew_deadline: 2.4s}}": '.election.renew_deadline: "2s400ms" is not longer than 1.2 retry periods of 2s',
    "{election: {retry_period: 9s}}": '.election.renew_deadline: "10s" is not longer than 1.2 retry periods of 9s',
    "{election: [15s,10s,2s]}": (
        '.election: "[15s, 10s, 2s]" is not a mapping; allowed keys: lease_duration, renew_deadline, '
        "retry_period, release_on_cancel"
    ),
    "{election: 15s}":
        '.election: "15s" is not a mapping; allowed keys: lease_duration, renew_deadline, retry_period, release_on_cancel',
    "{election: {lease: 15s}}":
        ".election.lease: unknown key; allowed: lease_duration, renew_deadline, retry_period, release_on_cancel",
    "{recover_panic: never}": '.recover_panic: "never" is not true or false',
    "{leader_election: []}": '.leader_election: "[]" is not true or false',
    "{informers: [pods]}": '.informers: "pods" is not a declared informer; declared: none',
    "{informers: [1]}": '.informers.0: "1" is not a name' + NAME,
    "{informers: [[pods]]}": '.informers.0: "[pods]" is not a name' + NAME,
    "{informers: [null]}": '.informers.0: "null" is not a name' + NAME,
    "{watches: [pods]}": '.watches: "[pods]" is not a mapping',
    "{watches: {a.b: {object: pod}}}": '.watches.a.b: "a.b" is not a name' + NAME_ONLY,
    "{client: {priority_level: root}}": (
        '.client.priority_level: "root" is not allowed; one of exempt, system, node-high, leader-election, '
        "workload-high, workload-low, global-default, catch-all"
    ),
    "{client: {priority_level: []}}": (
        '.client.priority_level: "[]" is not allowed; one of exempt, system, node-high, leader-election, '
        "workload-high, workload-low, global-default, catch-all"
    ),
    "{client: {qps: 0}}": '.client.qps: "0" is not a rate above zero' + RATE,
    "{client: {qps: -1}}": '.client.qps: "-1" is not a rate above zero' + RATE,
    "{client: {qps: .nan}}": '.client.qps: "nan" is not a rate' + RATE,
    "{client: {qps: true}}": '.client.qps: "true" is not a rate' + RATE,
    "{client: {burst: 0}}": '.client.burst: "0" is not allowed' + POSITIVE,
    "{client: {burst: off}}": '.client.burst: "off" is not a whole number',
    "{client: 20}": '.client: "20" is not a mapping; allowed keys: qps, burst, timeout, priority_level',
    "{queue: {kind: fifo}}": '.queue.kind: "fifo" is not allowed; one of rate_limiting, priority',
    "{queue: priority}": '.queue: "priority" is not a mapping; allowed keys: kind, limiter',
    "{reconcile: {writes: {s: {}}}}": '.watches: "{}" is not allowed: a controller that works on objects has to watch them',
    "{reconcile: {finalizer: true}}": '.watches: "{}" is not allowed: a controller that works on objects has to watch them',
    "{reconcile: {events: {}}}": '.watches: "{}" is not allowed: a controller that works on objects has to watch them',
    "{reconcile: fast}": (
        '.reconcile: "fast" is not a mapping; allowed keys: every, duration, on_zero_value, scan, writes, '
        "finalizer, events, errors, terminal_errors, requeues, panics, poisoned"
    ),
    "{stack: 0.23}": '.stack: "0.23" is not a known stack; docs/stacks.md lists them',
    "{stack: controller-runtime-0.230}":
        '.stack: "controller-runtime-0.230" is not a known stack; did you mean "controller-runtime-0.23"?',
    "{stack: kubebuilder-4}": '.stack: "kubebuilder-4" is not a known stack; docs/stacks.md lists them',
    "{stack: [a]}": '.stack: "[a]" is not a known stack; docs/stacks.md lists them',
    "{stack: client-go-0.34, queue: {kind: priority}}":
        '.queue.kind: "priority" is not a queue of client-go-0.34; it exists from controller-runtime-0.20 on',
    "{informers: pods}": '.informers: "pods" is not a list',
    "{informers: {pods: {}}}": '.informers: "{pods: {}}" is not a list',
    "{count: 1000000000}": '.count: "1000000000" is too many; write at most 10000',
    "{standby: 1000000000}": '.standby: "1000000000" is too many; write at most 100',
    "{shards: 1000000000}": '.shards: "1000000000" is too many; write at most 1000',
    "{workers: 1000000000}": '.workers: "1000000000" is too many; write at most 100000',
    "{restart: 1e30}": '.restart: "1e+30"' + TOO_LONG,
    "{reconcile: {errors: 10%}}": '.watches: "{}"' + UNWATCHED,
    "{reconcile: {panics: 10%}}": '.watches: "{}"' + UNWATCHED,
    "{reconcile: {poisoned: 1}}": '.watches: "{}"' + UNWATCHED,
    "{watches: {pods: {}, nodes: {}}, reconcile: {writes: {s: {}}}}":
        '.watches: "[node, pod]" are several kinds of objects; write a controller for each',
    "{leader_election: false, standby: 2}":
        '.standby: "2" is not allowed: a standby waits for a lease; write 0, or turn leader_election on',
}  # fmt: skip

WATCHES = {
    "{predicate: generation}":
        '.predicate: "generation" is not allowed; one of none, generation_changed, resource_version_changed',
    "{predicate: []}": '.predicate: "[]" is not allowed; one of none, generation_changed, resource_version_changed',
    "{handler: -1}": '.handler: "-1" is not a duration' + DISTRIBUTION,
    "{handler: {}}":
        '.handler: "{}" is not a distribution; write a duration, {median, p99}, {mean, sd}, {quantiles} or {mixture}',
    "{handler: {median: 1ms}}": ".handler.p99: missing; it is required",
    "{handler: 1e30}": '.handler: "1e+30"' + TOO_LONG,
    "app=web": ': "app=web" is not a mapping; allowed keys: object, selector, resync, fifo, streaming_list, predicate, handler',
    "{page: 500}": ".page: unknown key; allowed: object, selector, resync, fifo, streaming_list, predicate, handler",
}  # fmt: skip

LIMITERS = {
    "exponential": ': "exponential" is not a mapping, such as {kind: bucket, rate: 10, burst: 100}',
    "[{kind: exponential}]": ': "[{kind: exponential}]" is not a mapping, such as {kind: bucket, rate: 10, burst: 100}',
    "{}": ".kind: missing; one of exponential, bucket, fast_slow, max_of, with_max_wait",
    "{kind: [bucket]}": '.kind: "[bucket]" is not a kind of limiter; did you mean "bucket"?',
    "{kind: 5}": '.kind: "5" is not a kind of limiter; one of exponential, bucket, fast_slow, max_of, with_max_wait',
    "{max_off: [{kind: exponential}]}": ".kind: missing; one of exponential, bucket, fast_slow, max_of, with_max_wait",
    "{max_of: []}": '.limiters: "[]" is not allowed; at least one limiter is needed',
    "{max_of: 5}": '.max_of: "5" is not a list of limiters',
    "{bucket: 5}": '.bucket: "5" is not a mapping of its settings',
    "{bucket: {brst: 5}}": '.brst: unknown key; did you mean "burst"?',
    "{fast_slow: null}": ".fast: missing; it is required (and 2 more)",
    "{kind: max_of, limiters: []}": '.limiters: "[]" is not allowed; at least one limiter is needed',
    "{kind: max_of, limiters: null}": ".limiters: missing; it is required",
    "{kind: max_of}": ".limiters: missing; it is required",
    "{kind: max_of, limiters: [null]}": '.limiters.0: "null" is not a mapping, such as {kind: bucket, rate: 10, burst: 100}',
    "{kind: max_of, limiters: [bucket]}": '.limiters.0: "bucket" is not a mapping, such as {kind: bucket, rate: 10, burst: 100}',
    "{kind: with_max_wait, max: 1m}": ".limiter: missing; it is required",
    "{kind: with_max_wait, limiter: {kind: bucket}}": ".max: missing; it is required",
    "{kind: exponential, base: 0}": '.base: "0s" is too short; write at least 10us',
    "{kind: exponential, base: -1}": '.base: "-1" is negative' + DURATION,
    "{kind: bucket, rate: 0}": '.rate: "0" is not a rate above zero' + RATE,
    "{kind: bucket, rate: .inf}": '.rate: "inf" is not a rate' + RATE,
    "{kind: bucket, burst: 0}": '.burst: "0" is not allowed' + POSITIVE,
    "{kind: fast_slow, fast: 1ms}": ".slow: missing; it is required (and 1 more)",
    "{kind: fast_slow, fast: 0, slow: 0, max_fast_attempts: 0}": '.fast: "0s" is too short; write at least 10us (and 2 more)',
    "{kind: max_of, limiters: {a: {kind: bucket}}}": '.limiters: "{a: {kind: bucket}}" is not a list',
}  # fmt: skip

RECONCILES = {
    "{finalizer: never}": '.finalizer: "never" is not true or false',
    "{errors: -0.1}": '.errors: "-0.1" is not a fraction' + FRACTION,
    "{errors: 1.1}": '.errors: "1.1" is not a fraction' + FRACTION,
    "{terminal_errors: 110%}": '.terminal_errors: "110%" is not a fraction' + FRACTION,
    "{requeues: 50 percent}": '.requeues: "50 percent" is not a fraction' + FRACTION,
    "{panics: .nan}": '.panics: "nan" is not a fraction' + FRACTION,
    "{panics: true}": '.panics: "true" is not a fraction' + FRACTION,
    "{poisoned: []}": '.poisoned: "[]" is not a fraction' + FRACTION,
    "{poisoned: 1e30}": '.poisoned: "1e+30" is not a fraction' + FRACTION,
    "{errors: never}": '.errors: "never" is not a fraction' + FRACTION,
    "{errors: 50%, panics: 60%}": ".errors: errors, terminal_errors, requeues and panics together are more than 1",
    "{on_zero_value: {create: pod}, writes: {s: {}}}": (
        ": a controller creates objects for zero values, or it works on what it watches "
        "(writes, events, errors ...), not both"
    ),
    "{duration: 1e30}": '.duration: "1e+30"' + TOO_LONG,
    "{writes: [update]}": '.writes: "[update]" is not a mapping',
    "{writes: update}": '.writes: "update" is not a mapping',
    "{writes: {a.b: {}}}": '.writes.a.b: "a.b" is not a name' + NAME_ONLY,
    "{events: {object: podd}}": '.events.object: "podd" is not a declared object; did you mean "pod"?',
    "{events: {per_reconcile: -1}}": '.events.per_reconcile: "-1" is negative' + COUNT,
    "{events: {per_reconcile: 2.5}}": '.events.per_reconcile: "2.5" is not a whole number',
    "{events: {message: other}}": '.events.message: "other" is not allowed; one of same, unique',
    "{events: true}": '.events: "true" is not a mapping; allowed keys: object, per_reconcile, message',
    "{events: event}": '.events: "event" is not a mapping; allowed keys: object, per_reconcile, message',
    "{every: -1}": '.every: "-1" is negative' + DURATION,
    "{every: true}": '.every: "true" is not a duration' + DURATION,
    "{every: exp(1s)}": '.every: "exp(1s)" is not a duration' + DURATION,
    "{every: 0}": '.every: "0s" is too short; write at least 10us, or never',
    "{events: {per_reconcile: 1000000000}}": '.events.per_reconcile: "1000000000" is too many; write at most 1000',
    "{on_zero_value: {create: pod}, errors: 50%}": (
        ": a controller creates objects for zero values, or it works on what it watches "
        "(writes, events, errors ...), not both"
    ),
}  # fmt: skip

WRITES = {
    "{force: never}": '.force: "never" is not true or false',
    "{verb: updat}": '.verb: "updat" is not allowed; one of update, merge_patch, merge_patch_locked, json_patch, apply',
    "{verb: put}": '.verb: "put" is not allowed; one of update, merge_patch, merge_patch_locked, json_patch, apply',
    "{verb: []}": '.verb: "[]" is not allowed; one of update, merge_patch, merge_patch_locked, json_patch, apply',
    "update": ': "update" is not a mapping; allowed keys: verb, sets, field, retry, force',
    "[]": ': "[]" is not a mapping; allowed keys: verb, sets, field, retry, force',
    "5": ': "5" is not a mapping; allowed keys: verb, sets, field, retry, force',
    "{sets: count}": '.sets: "count" is not allowed; one of counter, timestamp, generation, constant',
    "{field: 5}": '.field: "5" is not text; write it in quotes',
    "{retry: always}": '.retry: "always" is not allowed; one of off, default, backoff',
    "{retry: true}": '.retry: "true" is not allowed; one of off, default, backoff',
    "{vreb: update}": '.vreb: unknown key; did you mean "verb"?',
}  # fmt: skip

APISERVERS = {
    "{flow_control: []}": '.flow_control: "[]" is neither off nor a mapping of priority levels',
    "{flow_control: 5}": '.flow_control: "5" is neither off nor a mapping of priority levels',
    "{flow_control: {workload: {shares: 5}}}": '.flow_control.workload: unknown key; did you mean "workload-low"?',
    "{flow_control: {exempt: {shares: 5}}}": (
        ".flow_control.exempt: unknown key; allowed: system, node-high, leader-election, workload-high, "
        "workload-low, global-default, catch-all"
    ),
    "{flow_control: {workload-lo: {shares: 5}}}": '.flow_control.workload-lo: unknown key; did you mean "workload-low"?',
    "{flow_control: {5: {shares: 5}}}": (
        ".flow_control.5: unknown key; allowed: system, node-high, leader-election, workload-high, "
        "workload-low, global-default, catch-all"
    ),
    "{flow_control: [{workload-low: {shares: 5}}]}":
        '.flow_control: "[{workload-low: {shares: 5}}]" is neither off nor a mapping of priority levels',
    "{in_flight: {reads: 0}}": '.in_flight.reads: "0" is not allowed' + POSITIVE,
    "{in_flight: {reads: off}}": '.in_flight.reads: "off" is not a whole number',
    "{in_flight: {writes: .nan}}": '.in_flight.writes: "nan" is not a whole number',
    "{in_flight: off}": '.in_flight: "off" is not a mapping; allowed keys: reads, writes',
    "{in_flight: 600}": '.in_flight: "600" is not a mapping; allowed keys: reads, writes',
    "{in_flight: {read: 5}}": '.in_flight.read: unknown key; did you mean "reads"?',
    "{watch_cache: {window: 74s}}": '.watch_cache.window: "1m14s" is too short: the API server takes at least 75s',
    "{watch_cache: {window: 0}}": '.watch_cache.window: "0" is not allowed' + POSITIVE,
    "{watch_cache: {window: off}}": '.watch_cache.window: "off" is not a duration' + DURATION,
    "{watch_cache: {window: 74999ms}}": '.watch_cache.window: "1m14s999ms" is too short: the API server takes at least 75s',
    "{watch_cache: off}": '.watch_cache: "off" is not a mapping; allowed keys: window',
    "{watch_cache: {size: 100}}": ".watch_cache.size: unknown key; allowed: window",
    "{per_object: -1}": '.per_object: "-1" is negative' + DURATION,
    "{per_object: off}": '.per_object: "off" is not a duration' + DURATION,
    "{per_object: {median: 1ms, p99: 2ms}}": '.per_object: "{median: 1ms, p99: 2ms}" is not a duration' + DURATION,
    "{request_timeout: 0}": '.request_timeout: "0" is not allowed' + POSITIVE,
    "{overhead: 1e30}": '.overhead: "1e+30"' + TOO_LONG,
    "{count: 0}": '.count: "0" is not allowed' + POSITIVE,
    "{count: 2.5}": '.count: "2.5" is not a whole number',
    "{count: 100000}": '.count: "100000" is too many; write at most 100',
    "{flow_control: {workload-low: {shares: 0}}}": '.flow_control.workload-low.shares: "0" is not allowed' + POSITIVE,
    "{flow_control: {workload-low: {lendable: 2.5}}}": '.flow_control.workload-low.lendable: "2.5" is not a whole number',
    "{flow_control: {workload-low: {lendable: 101}}}": '.flow_control.workload-low.lendable: "101" is too many; write at most 100',
    "{flow_control: {workload-low: {queues: off}}}": '.flow_control.workload-low.queues: "off" is not a whole number',
    "{flow_control: {workload-low: {queues: 1000000000}}}":
        '.flow_control.workload-low.queues: "1000000000" is too many; write at most 10000',
    "{flow_control: {workload-low: {queues: 4}}}":
        '.flow_control.workload-low.hand_size: "6" is more than the 4 queues there are',
    "{flow_control: {workload-low: {hand_size: 129}}}":
        '.flow_control.workload-low.hand_size: "129" is more than the 128 queues there are',
    "{flow_control: {workload-low: {hand_size: 20}}}":
        '.flow_control.workload-low.hand_size: "20" of 128 queues need more than 60 bits of a hash',
    "{flow_control: {workload-low: {queues: 66, hand_size: 10}}}":  # 61 bits: ceil(log2(66) * 10)
        '.flow_control.workload-low.hand_size: "10" of 66 queues need more than 60 bits of a hash',
    "{flow_control: {workload-low: {share: 5}}}": '.flow_control.workload-low.share: unknown key; did you mean "shares"?',
    "{flow_control: {workload-low: 50}}": (
        '.flow_control.workload-low: "50" is not a mapping; allowed keys: '
        "shares, lendable, borrowing_limit, queues, hand_size, queue_length"
    ),
}  # fmt: skip

WEBHOOKS = {
    '{latency: 1ms, match: ""}': '.match: "" matches nothing' + MATCH,
    "{latency: 1ms, match: update}": '.match: "update" matches nothing' + MATCH,
    '{latency: 1ms, match: "update pods,nodes"}': '.match: "update pods,nodes" matches nothing' + MATCH,
    '{latency: 1ms, match: "get pods"}': '.match: "get pods" matches nothing' + MATCH,
    '{latency: 1ms, match: "* gizmos"}': '.match: "gizmo" is not a declared object; declared: pod, lease, node, event',
    '{latency: 1ms, match: "update podz"}': '.match: "podz" is not a declared object; did you mean "pod"?',
    "{latency: 1ms, match: 5}": '.match: "5" matches nothing' + MATCH,
    '{latency: 1ms, match: "pods update"}': '.match: "pods update" matches nothing' + MATCH,
    '{match: "* *"}': ".latency: missing; it is required",
    "{latency: 1ms}": ".match: missing; it is required",
    "{}": ".match: missing; it is required (and 1 more)",
    "guard": ': "guard" is not a mapping; allowed keys: match, kind, latency, timeout, failure_policy, failing, denying',
    '{latency: 1ms, match: "* *", kind: mutate}': '.kind: "mutate" is not allowed; one of validating, mutating',
    '{latency: 1ms, match: "* *", timeout: 0}': '.timeout: "0" is not allowed' + POSITIVE,
    '{latency: 1ms, match: "* *", timeout: never}': '.timeout: "never" is not a duration' + DURATION,
    '{latency: 1ms, match: "* *", failure_policy: Fail}': '.failure_policy: "Fail" is not allowed; one of fail, ignore',
    '{latency: 1ms, match: "* *", failing: 1.1}': '.failing: "1.1" is not a fraction' + FRACTION,
    '{latency: 1ms, match: "* *", denying: .nan}': '.denying: "nan" is not a fraction' + FRACTION,
    '{match: "* *", latency: never}': '.latency: "never" is not a duration' + DISTRIBUTION,
    '{match: "* *", latency: 1ms, timeout: 31s}': '.timeout: "31s" is not allowed; 1s to 30s, as the API has it',
    '{match: "* *", latency: 1ms, timeout: 100ms}': '.timeout: "100ms" is not allowed; 1s to 30s, as the API has it',
    '{match: "* *", latency: 1e30}': '.latency: "1e+30"' + TOO_LONG,
    '{match: "* *", latency: {quantiles: {0: 1ms, 1: 1e30}}}': '.latency.quantiles.1: "1e+30"' + TOO_LONG,
    '{match: "* *", latency: {quantiles: {0: soon, 1: 1s}}}': '.latency.quantiles.0: "soon" is not a duration' + DURATION,
    "{x: 0}": ".x: unknown key; allowed: match, kind, latency, timeout, failure_policy, failing, denying",
}  # fmt: skip

WORKLOADS = {
    "{kind: objects, object: widget, count: 0}": '.count: "0" is not allowed' + POSITIVE,
    "{kind: objects, object: widget, count: 1, replace_every: 1s, finalizers: 2.5}": '.finalizers: "2.5" is not a whole number',
    "{kind: objects, object: widget, count: true}": '.count: "true" is not a whole number',
    "{kind: objects, object: widget, count: 1, change_every: 0}": '.change_every: "0" is not an interval above zero' + EVERY,
    "{kind: objects, object: widget, count: 1, change_every: exp()}": '.change_every: "exp()" is not an interval' + EVERY,
    "{kind: objects, object: widget, count: 1, change_every: 5/s}": '.change_every: "5/s" is not an interval' + EVERY,
    "{kind: objects, object: widget, count: 1, change_every: .nan}": '.change_every: "nan" is not an interval' + EVERY,
    "{kind: objects, count: 1}": ".object: missing; it is required",
    "{kind: objects, object: widget}": ".count: missing; it is required",
    "{kind: objects, object: widgets, count: 1}": '.object: "widgets" is not a declared object; did you mean "widget"?',
    "{kind: objects, object: widget, count: 1, labels: {app: web}}":
        '.labels: "{app: web}" is not a list of labels; write app=web or app=web,tier=front',
    "{kind: objects, object: widget, count: 1, every: 5s}":
        ".every: unknown key; allowed: kind, object, count, labels, finalizers, change_every, replace_every",
    "{kind: writers, object: widget, clients: 0}": '.clients: "0" is not allowed' + POSITIVE,
    "{kind: writers, object: widget, clients: 1, objects: 0}": '.objects: "0" is not allowed' + POSITIVE,
    "{kind: writers, object: widget, clients: .nan}": '.clients: "nan" is not a whole number',
    "{kind: writers, object: widget, clients: 1, think: -1}": '.think: "-1" is not a duration' + DISTRIBUTION,
    "{kind: writers, object: widget, clients: 1, think: {median: 1s}}": ".think.p99: missing; it is required",
    "{kind: writers, object: widget, clients: 1, write: []}":
        '.write: "[]" is not a mapping; allowed keys: verb, sets, field, retry, force',
    "{kind: writers, object: widget, clients: 1, write: {verb: x}}":
        '.write.verb: "x" is not allowed; one of update, merge_patch, merge_patch_locked, json_patch, apply',
    "{kind: writers, object: widget}": ".clients: missing; it is required",
    "{kind: writers, object: widget, clients: 1, think: 1e30}": '.think: "1e+30"' + TOO_LONG,
    "{kind: objects, object: widget, count: 1, change_every: 1e30}": '.change_every: "1e+30"' + TOO_LONG,
    "{kind: objects, object: widget, count: 1, change_every: exp(1e30)}": '.change_every: "exp(1e30)"' + TOO_LONG,
    "{kind: objects, object: widget, count: 1000000000}": '.count: "1000000000" is too many; write at most 1000000',
    "{kind: objects, object: widget, count: 1, change_every: 1ns}": '.change_every: "1ns" is too short; write at least 10us',
    "{kind: writers, object: widget, clients: 1000000}": '.clients: "1000000" is too many; write at most 100000',
    "{kind: writers, object: widget, clients: 1, objects: 1000000000}":
        '.objects: "1000000000" is too many; write at most 100000',
    "{kind: writers, object: widget, clients: 1, write: update}":
        '.write: "update" is not a mapping; allowed keys: verb, sets, field, retry, force',
}  # fmt: skip

FAULTS = {
    "{kind: apiserver_outage, target: apiservers.apj, at: 1s, for: 1s}":
        '.target: "apj" is not a declared API server; did you mean "api"?',
    "{kind: apiserver_outage, target: apiservers.zzz, at: 1s, for: 1s}":
        '.target: "zzz" is not a declared API server; declared: api',
    "{kind: apiserver_outage, target: members.a, at: 1s, for: 1s}":
        '.target: "members.a" cannot have a fault of kind apiserver_outage; write apiservers.<name>',
    "{kind: disk_stall, target: apiservers.api, at: 1s, for: 1s}":
        '.target: "apiservers.api" cannot have a fault of kind disk_stall; write members.<name>, leader, or '
        "machines.<name>.disks.<name>",
    "{kind: apiserver_outage, target: apiservers.api.wal, at: 1s, for: 1s}":
        '.target: "apiservers.api.wal" cannot have a fault of kind apiserver_outage; write apiservers.<name>',
    "{kind: apiserver_outage, target: api, at: 1s, for: 1s}": (
        '.target: "api" is not a target; write members.<name>, its members.<name>.wal or '
        "members.<name>.backend, leader, machines.<name>.disks.<name>, apiservers.<name>, webhooks.<name>, or controllers.<name>"
    ),
    "{kind: apiserver_outage, at: 1s, for: 1s}": ".target: missing; it is required",
    "{kind: pause, target: members.a.wal, at: 1s, for: 1s}":
        '.target: "members.a.wal" cannot have a fault of kind pause; write members.<name> or leader',
    "{kind: pause, members: [a], at: 1s, for: 1s}":
        ".members: is for kinds partition and loss only; write target: members.<name> or leader",
    "{kind: partition, target: members.a, at: 1s, for: 1s}":
        ".target: is not for kind: partition; write members: [a] or link: a-b",
    "{kind: partition, at: 1s, for: 1s}": ".members: missing; write members: [a] or link: a-b",
    "{kind: partition, members: [], at: 1s, for: 1s}": '.members: "[]" is not allowed; name at least one member, or leader',
    "{kind: partition, members: [a], at: 1s, for: 1s}": ".members: are all members; leave out those that they are cut off from",
    "{kind: partition, members: [z], at: 1s, for: 1s}": '.members: "z" is not a declared member; declared: a, leader',
    "{kind: partition, link: a-z, at: 1s, for: 1s}": '.link: "a-z" is not a link between two members; declared: a',
    "{kind: partition, link: a, at: 1s, for: 1s}":
        '.link: "a" is not a link; write two members with a hyphen between, such as a-b',
    "{kind: loss, link: a-b, at: 1s, for: 1s}": ".rate: missing; it is required with kind: loss",
    "{kind: crash, target: leader, rate: 1%, at: 1s, for: 1s}": ".rate: is for kind: loss only",
    "{kind: loss, members: [leader], rate: 1%, at: 1s, for: 1s}":
        ".members: a loss cannot follow the leader; name members or a link",
    "{kind: apiserver_outage, target: apiservers.api, at: 1s, for: 0}": '.for: "0" is not allowed' + POSITIVE,
    "{kind: apiserver_outage, target: apiservers.api, at: -1s, for: 5s}": '.at: "-1s" is not a duration' + DURATION,
    "{kind: apiserver_outage, target: apiservers.api, at: 1s, for: never}": '.for: "never" is not a duration' + DURATION,
    "{kind: apiserver_outag, target: apiservers.api, at: 1s, for: 1s}":
        '.kind: "apiserver_outag" is not allowed; one of disk_stall, pause, crash, partition, loss, apiserver_outage, '
        "apiserver_slow, webhook_failure, reconcile_failure",
    "{kind: apiserver_outage, target: [apiservers.api], at: 1s, for: 1s}": (
        '.target: "[apiservers.api]" is not a target; write members.<name>, its members.<name>.wal or '
        "members.<name>.backend, leader, machines.<name>.disks.<name>, apiservers.<name>, webhooks.<name>, or controllers.<name>"
    ),
    "outage": ': "outage" is not a mapping; allowed keys: kind, target, members, link, rate, at, every, for, adds',
    "{kind: apiserver_slow, target: apiservers.api, at: 1s, for: 1s}": ".adds: missing; write by how much requests are slower",
    "{kind: apiserver_outage, target: apiservers.api, at: 1s, for: 1s, adds: 1s}":
        '.adds: "1s" is not allowed: only apiserver_slow adds something',
    "{kind: webhook_failure, target: webhooks.none, at: 1s, for: 1s}": '.target: "none" is not a declared webhook; declared: none',
    "{kind: webhook_failure, target: apiservers.api, at: 1s, for: 1s}":
        '.target: "apiservers.api" cannot have a fault of kind webhook_failure; write webhooks.<name>',
}  # fmt: skip

FILES = {
    "informers:\n  pods: {}\ncontrollers: {x: {informers: [pod]}}":
        'controllers.x.informers: "pod" is not a declared informer; did you mean "pods"?',
    "informers:\n  pods: {}\ncontrollers: {x: {informers: [pods], shards: 2}}":
        'controllers.x.shards: "2" is not allowed: a controller with shared informers is part of one process; write 1',
    "informers:\n  pods: {}\ncontrollers: {x: {informers: [pods], count: 2}}":
        'controllers.x.count: "2" is not allowed: a controller with shared informers is part of one process; write 1',
    "informers:\n  pods: {}\ncontrollers: {x: {informers: [pods], standby: 1}}":
        'controllers.x.standby: "1" is not allowed: a controller with shared informers is part of one process; write 0',
    "informers:\n  pods: {}\ncontrollers: {x: {informers: [pods], shards: 2, count: 3, standby: 1}}": (
        'controllers.x.count: "3" is not allowed: a controller with shared informers is part of one process; '
        "write 1 (and 2 more)"
    ),
    "informers: {pods: {}}\ncontrollers: {x: {informers: [pods, pods]}}":
        'controllers.x.informers: "pods" is there more than once; a controller has one handler for each',
    "informers: {pods: {}}\ncontrollers: {x: {informers: [pods]}, y: {informers: [pods], stack: client-go-0.34}}":
        "controllers.y.stack: differs from that of x: who shares an informer (pods) is one process",
    "informers: {pods: {}}\ncontrollers: {x: {informers: [pods]}, y: {informers: [pods], leader_election: off}}":
        "controllers.y.leader_election: differs from that of x: who shares an informer (pods) is one process",
    "workloads: {x: {kind: pod_churn, every: 5s}}\ncontrollers: {x: {}}":
        'controllers.x: "x" is taken by workloads.x; what is written is counted by this name',
    "controllers: {leader-elections: {}}":
        'controllers.leader-elections: "leader-elections" is taken by etcdsim itself; what is written is counted by this name',
    "informers: [pods]": 'informers: "[pods]" is not a mapping',
    "informers: {a.b: {object: pod}}": 'informers.a.b: "a.b" is not a name' + NAME_ONLY,
    "informers: {a b: {object: pod}}": 'informers.a b: "a b" is not a name' + NAME_ONLY,
    "informers: {gizmos: {}}": 'informers.gizmos.object: "gizmo" is not a declared object; declared: pod, lease, node, event',
    "webhooks: [a]": 'webhooks: "[a]" is not a mapping',
    'webhooks: {a.b: {match: "* *", latency: 1ms}}': 'webhooks.a.b: "a.b" is not a name' + NAME_ONLY,
    "controllers: [x]": 'controllers: "[x]" is not a mapping',
    "controllers: {a.b: {}}": 'controllers.a.b: "a.b" is not a name' + NAME_ONLY,
    'controllers: {"a b": {}}': 'controllers.a b: "a b" is not a name' + NAME_ONLY,
    "controllers: {5: {}}": 'controllers.5: "5" is not a name' + NAME,
    'controllers: {"": {}}': 'controllers: "" is not a name' + NAME_ONLY,
    "controllers: {x: {}}\nvariants: {v: {controllers.x.shards: 0}}":
        'variants.v: controllers.x.shards: "0" is not allowed' + POSITIVE,
    "controllers: {x: {}}\nvariants: {v: {controllers.x.election.lease_duration: 5s}}":
        'variants.v: controllers.x.election.lease_duration: "5s" is not longer than the renew deadline of 10s',
    "informers:\n  pods: {}\ncontrollers: {x: {informers: [pods]}}\nvariants: {v: {informers: {}}}":
        'variants.v: controllers.x.informers: "pods" is not a declared informer; declared: none',
    "variants: {v: {faults.f: {kind: apiserver_outage, target: apiservers.b, at: 1s, for: 1s}}}":
        'variants.v: faults.f.target: "b" is not a declared API server; declared: api',
}  # fmt: skip

SECTIONS: dict[str, tuple[str, str, Table]] = {
    # path of the section, the file around what is written there, the table
    "informers.pods": (HEAD + "informers:\n  pods: ", "\n", INFORMERS),
    "controllers.x": (HEAD + "controllers:\n  x: ", "\n", CONTROLLERS),
    "controllers.x.watches.pods": (HEAD + "controllers:\n  x: {watches: {pods: ", "}}\n", WATCHES),
    "controllers.x.queue.limiter": (HEAD + "controllers:\n  x: {queue: {limiter: ", "}}\n", LIMITERS),
    "controllers.x.reconcile": (HEAD + "controllers:\n  x: {watches: {pods: {}}, reconcile: ", "}\n", RECONCILES),
    "controllers.x.reconcile.writes.s": (
        HEAD + "controllers:\n  x: {watches: {pods: {}}, reconcile: {writes: {s: ", "}}}\n", WRITES
    ),
    "apiservers.api": (HEAD + "apiservers:\n  api: ", "\n", APISERVERS),
    "webhooks.g": (HEAD + "webhooks:\n  g: ", "\n", WEBHOOKS),
    "workloads.w": (HEAD + WIDGET + "workloads:\n  w: ", "\n", WORKLOADS),
    "faults.f": (HEAD + "faults:\n  f: ", "\n", FAULTS),
    "": (HEAD, "\n", FILES),
}  # fmt: skip

ODD = {
    "an informer's selector": (
        "informers: {pods: {selector: app=wbe}}\nworkloads: {pod-churn: {every: 5s}}\ncontrollers: {x: {informers: [pods]}}",
        'informers.pods.selector: "app=wbe" matches the labels of no workload',
    ),
    "an informer of nobody": ("informers: {pods: {}}", "informers.pods: no controller uses it"),
    "a lock that is none": (
        "controllers: {x: {watches: {pods: {}}, reconcile: {writes: {s: {verb: merge_patch, retry: default}}}}}",
        'controllers.x.reconcile.writes.s.retry: "default" has no effect: merge_patch meets no conflict',
    ),
    "a burst without a limit": (
        "controllers: {x: {client: {qps: off, burst: 30}}}", 'controllers.x.client.burst: "30" has no effect without a limit',
    ),
    "clocks without an election": (
        "controllers: {x: {leader_election: false, election: {lease_duration: 60s}}}",
        "controllers.x.election: has no effect without leader_election",
    ),
    "a webhook that nothing reaches": (
        WIDGET + "webhooks: {g: {match: update widgets, latency: 1ms}}", "webhooks.g.match: nothing writes widget",
    ),
    "finalizers that stay": (
        WIDGET + "workloads: {w: {kind: objects, object: widget, count: 1, replace_every: 1s, finalizers: 1}}",
        "workloads.w.finalizers: no controller takes them off; what is deleted stays",
    ),
    "an outage that does not end": (
        "faults: {f: {kind: apiserver_outage, target: apiservers.api, at: 30s, for: 1h}}",
        "faults.f.for: lasts beyond the horizon",
    ),
}  # fmt: skip


def cases(tables: Mapping[str, Table]) -> list[tuple[str, str]]:
    """File and refusal of every entry."""
    made = []
    for path, table in tables.items():
        before, after, _ = SECTIONS[path]
        made += [(f"{before}{written}{after}", f"{path}{said}") for written, said in table.items()]
    return made


def read(folder: Path, text: str) -> Scenario:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def refusal_of(folder: Path, text: str) -> str:
    with pytest.raises(InputError) as refused:
        read(folder, text)
    return str(refused.value)


@pytest.mark.parametrize(("text", "message"), cases({path: table for path, (_, _, table) in SECTIONS.items()}))
def test_a_mistake_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    assert refusal_of(tmp_path, text) == message


ENDS_IN_S = """\
objects: {ingress: {key_bytes: 60, value_bytes: 1kB}, widget: {key_bytes: 60, value_bytes: 1kB}}
informers: {ingress: {}, widgets: {}, never: {object: ingress, resync: 0}}
controllers: {x: {watches: {ingress: {}}}, y: {watches: {widgets: {}}}, z: {watches: {all: {object: ingress}}}}
webhooks:
  g: {match: update ingress, latency: 1ms}
  h: {match: "* widgets", latency: 1ms}
  i: {match: "* *", latency: 1ms}
variants: {v: {webhooks.g.match: create ingress}}
"""


def test_an_object_may_end_in_s(tmp_path: Path) -> None:
    found = read(tmp_path, HEAD + ENDS_IN_S)
    for one in (found, found.variant("v"), found.with_({"webhooks.g.timeout": "2s"})):
        assert [webhook.object for webhook in one.webhooks.values()] == ["ingress", "widget", ""]
        assert [informer.object for informer in one.informers.values()] == ["ingress", "widget", "ingress"]
        watched = [watch.object for controller in one.controllers.values() for watch in controller.watches.values()]
        assert watched == ["ingress", "widget", "ingress"]


@pytest.mark.parametrize("case", ODD)
def test_what_is_odd_is_warned_of(case: str, tmp_path: Path) -> None:
    text, warning = ODD[case]
    assert warning in warnings(read(tmp_path, f"{HEAD}{text}\n"))
