package wq

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"foreign/tr"

	"golang.org/x/time/rate"
	"k8s.io/client-go/util/workqueue"
)

const lib = "k8s.io/client-go"

func ints(r *rand.Rand, xs ...int64) int64 { return xs[r.IntN(len(xs))] }

func one(r *rand.Rand, kind string, depth int) tr.M {
	ms, s := int64(time.Millisecond), int64(time.Second)
	switch kind {
	case "exponential":
		return tr.M{"kind": kind, "base_ns": ints(r, 5*ms, ms, 1, 7, s, 333333), "max_ns": ints(r, 1000*s, 82*s, 10*ms, 1<<62, 16*s)}
	case "fast_slow":
		return tr.M{"kind": kind, "fast_ns": ints(r, 5*ms, 1, 0), "slow_ns": ints(r, 10*s, 300*ms, ms), "max_fast_attempts": ints(r, 3, 1, 0, 10)}
	case "bucket":
		return tr.M{"kind": kind, "rate": []any{10.0, 0.5, 1000.0, 3.0, "inf"}[r.IntN(5)], "burst": ints(r, 100, 1, 5, 10)}
	case "max_of":
		ls := []any{}
		for range 1 + r.IntN(3) {
			kinds := []string{"exponential", "bucket", "fast_slow", "max_of", "with_max_wait"}
			k := kinds[r.IntN(len(kinds))]
			if depth > 2 {
				k = kinds[r.IntN(3)]
			}
			ls = append(ls, one(r, k, depth+1))
		}
		return tr.M{"kind": kind, "limiters": ls}
	case "with_max_wait":
		kinds := []string{"exponential", "bucket", "max_of", "max_of", "fast_slow"}
		k := kinds[r.IntN(len(kinds))]
		if depth > 2 {
			k = "bucket"
		}
		return tr.M{"kind": kind, "max_ns": ints(r, ms, s, 30*s, 0), "limiter": one(r, k, depth+1)}
	}
	panic(kind)
}

func dur(c tr.M, k string) time.Duration { return time.Duration(c[k].(int64)) }

func build(c tr.M) workqueue.RateLimiter {
	switch c["kind"] {
	case "exponential":
		return workqueue.NewItemExponentialFailureRateLimiter(dur(c, "base_ns"), dur(c, "max_ns"))
	case "fast_slow":
		return workqueue.NewItemFastSlowRateLimiter(dur(c, "fast_ns"), dur(c, "slow_ns"), int(c["max_fast_attempts"].(int64)))
	case "bucket":
		l := rate.Inf
		if v, ok := c["rate"].(float64); ok {
			l = rate.Limit(v)
		}
		return &workqueue.BucketRateLimiter{Limiter: rate.NewLimiter(l, int(c["burst"].(int64)))}
	case "max_of":
		switch ls := c["limiters"].([]any); len(ls) {
		case 0:
			return workqueue.NewMaxOfRateLimiter()
		case 1:
			return workqueue.NewMaxOfRateLimiter(build(ls[0].(tr.M)))
		case 2:
			return workqueue.NewMaxOfRateLimiter(build(ls[0].(tr.M)), build(ls[1].(tr.M)))
		default:
			return workqueue.NewMaxOfRateLimiter(build(ls[0].(tr.M)), build(ls[1].(tr.M)), build(ls[2].(tr.M)))
		}
	case "with_max_wait":
		return workqueue.NewWithMaxWaitRateLimiter(build(c["limiter"].(tr.M)), dur(c, "max_ns"))
	}
	panic(c)
}

func driveLimiter(t *tr.Trace, l workqueue.RateLimiter) {
	for range tr.Ops() {
		t.Sleep(t.Gap())
		k := tr.Pick(t, tr.Keys[:5]...)
		switch n := t.IntN(100); {
		case n < 70:
			t.Call("when", []any{k}, tr.M{"delay_ns": int64(l.When(k))})
		case n < 80:
			l.Forget(k)
			t.Call("forget", []any{k}, nil)
		default:
			t.Call("num_requeues", []any{k}, tr.M{"n": l.NumRequeues(k)})
		}
	}
}

func TestLimiters(t *testing.T) {
	for _, kind := range []string{"exponential", "fast_slow", "bucket", "max_of", "with_max_wait"} {
		kind := kind
		tr.Run(t, "limiter."+kind, lib, "", func(r *rand.Rand) tr.M {
			c := one(r, kind, 0)
			return c
		}, func(t *tr.Trace, c tr.M) {
			driveLimiter(t, build(c))
		})
	}
}

// TestOverflow: never forgotten, so that 2^e leaves int64, then float64.
func TestOverflow(t *testing.T) {
	for _, label := range []string{"overflow", "zerobase", "over-burst0", "over-empty", "over-rate0", "over-tiny"} {
		mech := "limiter.exponential"
		c := tr.M{"base_ns": int64(5000000), "max_ns": int64(1000000000000)}
		switch label {
		case "zerobase":
			c = tr.M{"base_ns": int64(0), "max_ns": int64(1000)}
		case "over-burst0":
			mech = "limiter.bucket"
			c = tr.M{"rate": 10.0, "burst": int64(0)}
		case "over-rate0":
			mech = "limiter.bucket"
			c = tr.M{"rate": 0.0, "burst": int64(5)}
		case "over-tiny":
			mech = "limiter.bucket"
			c = tr.M{"rate": 1e-9, "burst": int64(5)}
		case "over-empty":
			mech = "limiter.max_of"
			c = tr.M{"limiters": []any{}}
		}
		tr.Run(t, mech, lib, label, func(r *rand.Rand) tr.M {
			return c
		}, func(t *tr.Trace, c tr.M) {
			c["kind"] = mech[len("limiter."):]
			l := build(c)
			delete(c, "kind")
			for i := range 1100 {
				t.Call("when", []any{"k"}, tr.M{"delay_ns": int64(l.When("k"))})
				if i%100 == 0 {
					t.Call("num_requeues", []any{"k"}, tr.M{"n": l.NumRequeues("k")})
				}
			}
		})
	}
}

type num struct{ v float64 }

func (n *num) Inc()              { n.v++ }
func (n *num) Dec()              { n.v-- }
func (n *num) Set(x float64)     { n.v = x }
func (n *num) Observe(x float64) {}

type provider struct{ depth, adds, retries, unfinished, longest, a, b num }

func (p *provider) NewDepthMetric(string) workqueue.GaugeMetric            { return &p.depth }
func (p *provider) NewAddsMetric(string) workqueue.CounterMetric           { return &p.adds }
func (p *provider) NewLatencyMetric(string) workqueue.HistogramMetric      { return &p.a }
func (p *provider) NewWorkDurationMetric(string) workqueue.HistogramMetric { return &p.b }
func (p *provider) NewUnfinishedWorkSecondsMetric(string) workqueue.SettableGaugeMetric {
	return &p.unfinished
}
func (p *provider) NewLongestRunningProcessorSecondsMetric(string) workqueue.SettableGaugeMetric {
	return &p.longest
}
func (p *provider) NewRetriesMetric(string) workqueue.CounterMetric { return &p.retries }

func TestQueues(t *testing.T) {
	for _, mech := range []string{"workqueue.queue", "workqueue.delaying", "workqueue.rate_limiting"} {
		for _, end := range []string{"", "shutdown", "drain", "misuse"} {
			mech, end := mech, end
			tr.Run(t, mech, lib, end, func(r *rand.Rand) tr.M {
				if mech != "workqueue.rate_limiting" {
					return tr.M{}
				}
				if r.IntN(3) == 0 {
					return tr.M{"limiter": tr.M{"kind": "max_of", "limiters": []any{
						tr.M{"kind": "exponential", "base_ns": int64(5000000), "max_ns": int64(1000000000000)},
						tr.M{"kind": "bucket", "rate": 10.0, "burst": int64(100)}}}}
				}
				return tr.M{"limiter": one(r, []string{"exponential", "max_of", "with_max_wait", "bucket", "fast_slow"}[r.IntN(5)], 1)}
			}, func(t *tr.Trace, c tr.M) { driveQueue(t, mech, end, c) })
		}
	}
}

func driveQueue(t *tr.Trace, mech, end string, c tr.M) {
	p := &provider{}
	var q workqueue.Interface
	var dq workqueue.DelayingInterface
	var rq workqueue.RateLimitingInterface
	switch mech {
	case "workqueue.queue":
		q = workqueue.NewWithConfig(workqueue.QueueConfig{Name: "q", MetricsProvider: p})
	case "workqueue.delaying":
		dq = workqueue.NewDelayingQueueWithConfig(workqueue.DelayingQueueConfig{Name: "q", MetricsProvider: p})
		q = dq
	default:
		rq = workqueue.NewRateLimitingQueueWithConfig(build(c["limiter"].(tr.M)), workqueue.RateLimitingQueueConfig{Name: "q", MetricsProvider: p})
		q, dq = rq, rq
	}
	keys := tr.Keys
	if t.Chance(50) {
		keys = keys[:4]
	}
	var running []string
	call := func(op string, args []any, out tr.M) {
		synctest.Wait()
		if out == nil {
			out = tr.M{}
		}
		out["len"] = q.Len()
		t.Call(op, args, out)
	}
	n := tr.Ops()
	down := false
	for i := range n {
		if gap := t.Gap(); gap > 0 {
			t.Sleep(gap)
			if t.Chance(10) {
				call("advance", nil, nil)
			}
		}
		if (end == "shutdown" || end == "drain") && i == n*9/10 || down && t.Chance(2) {
			if end == "shutdown" || i%2 == 1 && down {
				q.ShutDown()
				call("shut_down", nil, nil)
			} else {
				go q.ShutDownWithDrain()
				call("shut_down_with_drain", nil, nil)
			}
			down = true
			continue
		}
		k := tr.Pick(t, keys...)
		x := t.IntN(100)
		switch {
		case x < 20:
			q.Add(k)
			call("add", []any{k}, nil)
		case x < 45 && (q.Len() > 0 || q.ShuttingDown()):
			item, shutdown := q.Get()
			out := tr.M{"key": item, "shutdown": shutdown}
			if shutdown {
				out["key"] = nil
			} else {
				running = append(running, item.(string))
			}
			call("get", nil, out)
		case x < 45:
			if t.Chance(30) {
				call("get", nil, tr.M{"key": nil, "shutdown": false})
			}
		case x < 65:
			if end == "misuse" && t.Chance(10) {
				q.Done(k)
				running = slices.DeleteFunc(running, func(s string) bool { return s == k })
				call("done", []any{k}, nil)
			} else if len(running) > 0 {
				j := t.IntN(len(running))
				k = running[j]
				running = slices.Delete(running, j, j+1)
				q.Done(k)
				call("done", []any{k}, nil)
			}
		case x < 70:
			call("metrics", nil, tr.M{"depth": p.depth.v, "adds": p.adds.v, "retries": p.retries.v,
				"unfinished_seconds": p.unfinished.v, "longest_running_seconds": p.longest.v})
		case x < 85 && dq != nil:
			d := tr.Pick(t, 0, 0, -5, 1, 5e6, 5e6, 5e6, 10e6, 1e9, 1e9, int64(t.IntN(1e7)), int64(t.IntN(1e9)), int64(t.Int64N(1e11)))
			dq.AddAfter(k, time.Duration(d))
			call("add_after", []any{k, d}, nil)
		case x < 94 && rq != nil:
			rq.AddRateLimited(k)
			call("add_rate_limited", []any{k}, nil)
		case x < 97 && rq != nil:
			rq.Forget(k)
			call("forget", []any{k}, nil)
		case rq != nil:
			call("num_requeues", []any{k}, tr.M{"n": rq.NumRequeues(k)})
		}
	}
	for _, k := range running {
		q.Done(k)
	}
	q.ShutDown()
	t.Sleep(time.Second) // older queues notice the end at their next tick
}
