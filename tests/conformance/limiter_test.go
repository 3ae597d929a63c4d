package conformance

import (
	"fmt"
	"math"
	"testing"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/client-go/util/workqueue"
)

type limiter = workqueue.TypedRateLimiter[string]

// build makes the limiter that a trace's config describes.
func build(config object) limiter {
	switch config["kind"] {
	case "exponential":
		return workqueue.NewTypedItemExponentialFailureRateLimiter[string](ns(config["base_ns"]), ns(config["max_ns"]))
	case "fast_slow":
		return workqueue.NewTypedItemFastSlowRateLimiter[string](
			ns(config["fast_ns"]), ns(config["slow_ns"]), config["max_fast_attempts"].(int))
	case "bucket":
		return &workqueue.TypedBucketRateLimiter[string]{Limiter: rate.NewLimiter(limit(config["rate"]), config["burst"].(int))}
	case "max_of":
		var members []limiter
		for _, member := range config["limiters"].([]object) {
			members = append(members, build(member))
		}
		return workqueue.NewTypedMaxOfRateLimiter(members...)
	case "with_max_wait":
		return workqueue.NewTypedWithMaxWaitRateLimiter(build(config["limiter"].(object)), ns(config["max_ns"]))
	}
	panic(fmt.Sprint("unknown limiter: ", config))
}

func ns(value any) time.Duration { return time.Duration(value.(int64)) }

func exponential(base, maximum time.Duration) object {
	return object{"kind": "exponential", "base_ns": int64(base), "max_ns": int64(maximum)}
}

func fastSlow(fast, slow time.Duration, attempts int) object {
	return object{"kind": "fast_slow", "fast_ns": int64(fast), "slow_ns": int64(slow), "max_fast_attempts": attempts}
}

func bucket(r any, burst int) object { return object{"kind": "bucket", "rate": r, "burst": burst} }

func maxOf(members ...object) object {
	return object{"kind": "max_of", "limiters": append([]object{}, members...)}
}

func withMaxWait(inner object, maximum time.Duration) object {
	return object{"kind": "with_max_wait", "limiter": inner, "max_ns": int64(maximum)}
}

// controllerDefault is DefaultTypedControllerRateLimiter spelt out.
func controllerDefault() object {
	return maxOf(exponential(5*time.Millisecond, 1000*time.Second), bucket(10.0, 100))
}

func recordLimiters(t *testing.T) {
	longest := time.Duration(math.MaxInt64)
	for i, config := range []object{
		exponential(5*time.Millisecond, 1000*time.Second),
		exponential(time.Millisecond, 1000*time.Second),
		exponential(1, longest),     // 2^63 ns: past the check, negative in the conversion
		exponential(7, longest),     // overflow proper
		exponential(0, time.Second), // 0 * 2^1024 is not a number
		exponential(time.Minute, time.Second),
		fastSlow(5*time.Millisecond, 10*time.Second, 3),
		fastSlow(time.Second, time.Millisecond, 0),
		fastSlow(0, time.Hour, 12),
		bucket(10.0, 100),
		bucket(0.3, 1),
		bucket("inf", 0),
		bucket(2.0, 0),
		bucket(1000.0, 5),
		controllerDefault(),
		maxOf(fastSlow(time.Millisecond, time.Minute, 4), exponential(5*time.Millisecond, 30*time.Second), bucket(1.0, 10)),
		maxOf(exponential(1, longest), bucket(100.0, 1)),
		maxOf(),
		withMaxWait(controllerDefault(), 30*time.Second),
		withMaxWait(bucket(1.0, 1), 5*time.Second),
		withMaxWait(exponential(time.Second, time.Hour), 0),
	} {
		calls := map[any]int{"exponential": 1700, "fast_slow": 3400, "bucket": 2100, "max_of": 2600, "with_max_wait": 3400}[config["kind"]]
		name := fmt.Sprintf("%s-%02d", config["kind"], i)
		record(t, "limiter."+config["kind"].(string), clientGo, name, uint64(200+i), config, func(r *trace) {
			limiter := build(config)
			limiterScript(r, limiter, calls)
			for i := 0; i < 1100 && config["base_ns"] == int64(0); i++ { // past 2^1024
				r.call("when", []any{"z"}, object{"delay_ns": limiter.When("z")})
			}
		})
	}
}

// limiterScript fails keys in runs, some of them hundreds of times, forgets some in mid-backoff, and lets buckets refill.
func limiterScript(r *trace, limiter limiter, calls int) {
	pool := keys(2 + r.IntN(12))
	favourite := pick(r.random, pool...)
	for r.calls < calls {
		r.sleep(r.pause(2 * time.Hour))
		if r.chance(0.003) {
			favourite = pick(r.random, pool...)
		}
		key := favourite
		if r.chance(0.4) {
			key = pick(r.random, pool...)
		}
		switch roll := r.Float64(); {
		case roll < 0.70:
			r.call("when", []any{key}, object{"delay_ns": limiter.When(key)})
		case roll < 0.95:
			r.call("num_requeues", []any{key}, object{"n": limiter.NumRequeues(key)})
		case key != favourite || r.chance(0.02):
			limiter.Forget(key)
			r.call("forget", []any{key}, nil)
		}
	}
}
