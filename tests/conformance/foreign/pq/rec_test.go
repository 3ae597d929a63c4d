package pq

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"foreign/tr"

	"golang.org/x/time/rate"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
)

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

func build(c tr.M) workqueue.TypedRateLimiter[string] {
	d := func(k string) time.Duration { return time.Duration(c[k].(int64)) }
	switch c["kind"] {
	case "exponential":
		return workqueue.NewTypedItemExponentialFailureRateLimiter[string](d("base_ns"), d("max_ns"))
	case "bucket":
		return &workqueue.TypedBucketRateLimiter[string]{Limiter: rate.NewLimiter(rate.Limit(c["rate"].(float64)), int(c["burst"].(int64)))}
	}
	ls := c["limiters"].([]any)
	return workqueue.NewTypedMaxOfRateLimiter(build(ls[0].(tr.M)), build(ls[1].(tr.M)))
}

func TestPriority(t *testing.T) {
	for _, label := range []string{"", "shutdown", "plain", "misuse"} {
		tr.Run(t, "workqueue.priority", "sigs.k8s.io/controller-runtime", label, func(r *rand.Rand) tr.M {
			e := tr.M{"kind": "exponential", "base_ns": int64(5000000), "max_ns": int64(1000000000000)}
			b := tr.M{"kind": "bucket", "rate": 10.0, "burst": int64(100)}
			return tr.M{"limiter": []tr.M{e, {"kind": "max_of", "limiters": []any{e, b}}, b}[r.IntN(3)]}
		}, func(t *tr.Trace, c tr.M) { drive(t, label, c) })
	}
}

const sentinel = "\x00nobody"

func drive(t *tr.Trace, label string, c tr.M) {
	p := &provider{}
	q := priorityqueue.New[string]("q", func(o *priorityqueue.Opts[string]) {
		o.RateLimiter = build(c["limiter"].(tr.M))
		o.MetricProvider = p
	})
	sentinels := 0.0
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
	down := false
	n := tr.Ops()
	for i := range n {
		if gap := t.Gap(); gap > 0 {
			t.Sleep(gap)
			if t.Chance(10) {
				call("advance", nil, nil)
			}
		}
		if i == n*95/100 && label == "shutdown" {
			down = true
			if t.Chance(50) {
				q.ShutDown()
				call("shut_down", nil, nil)
			} else {
				q.ShutDownWithDrain()
				call("shut_down_with_drain", nil, nil)
			}
			continue
		}
		k := tr.Pick(t, keys...)
		d := tr.Pick(t, 0, 0, -5, 1, 5e6, 5e6, 5e6, 10e6, 1e9, 1e9, int64(t.IntN(1e7)), int64(t.IntN(1e9)), int64(t.Int64N(1e11)))
		switch x := t.IntN(100); {
		case x < 12:
			q.Add(k)
			call("add", []any{k}, nil)
		case x < 30 && label != "plain":
			var pr any = tr.Pick(t, 0, 0, -100, 5, 10, -1, 1000)
			if t.Chance(20) && tr.Rich() {
				pr = nil
			}
			rl := t.Chance(30)
			q.AddWithOpts(priorityqueue.AddOpts{After: time.Duration(d), RateLimited: rl, Priority: prio(pr)}, k)
			call("add_opts", []any{k, d, pr, rl}, nil)
		case x < 52:
			if down && getBlocksAfterShutDown {
				continue
			}
			type got struct {
				k    string
				p    int
				down bool
			}
			ch := make(chan got, 1)
			go func() {
				k, p, s := q.GetWithPriority()
				ch <- got{k, p, s}
			}()
			synctest.Wait()
			select {
			case g := <-ch:
				if g.down {
					call("get", nil, tr.M{"key": nil, "shutdown": true})
				} else {
					running = append(running, g.k)
					out := tr.M{"key": g.k, "shutdown": false}
					if tr.Rich() {
						out["priority"] = g.p
					}
					call("get", nil, out)
				}
			default:
				q.AddWithOpts(priorityqueue.AddOpts{Priority: prio(math.MaxInt)}, sentinel)
				synctest.Wait()
				if g := <-ch; g.k != sentinel {
					panic(g)
				}
				sentinels++
				q.Done(sentinel)
				call("get", nil, tr.M{"key": nil, "shutdown": false})
			}
		case x < 74:
			if label == "misuse" && t.Chance(10) {
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
		case x < 79:
			call("metrics", nil, tr.M{"depth": p.depth.v, "adds": p.adds.v - sentinels, "retries": p.retries.v,
				"unfinished_seconds": p.unfinished.v, "longest_running_seconds": p.longest.v})
		case x < 87:
			q.AddAfter(k, time.Duration(d))
			call("add_after", []any{k, d}, nil)
		case x < 94:
			q.AddRateLimited(k)
			call("add_rate_limited", []any{k}, nil)
		case x < 97:
			q.Forget(k)
			call("forget", []any{k}, nil)
		default:
			call("num_requeues", []any{k}, tr.M{"n": q.NumRequeues(k)})
		}
	}
	if !down {
		q.ShutDown()
	}
	t.Sleep(11 * time.Second)
}
