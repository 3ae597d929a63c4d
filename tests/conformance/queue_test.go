package conformance

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/util/workqueue"
)

// queue is what a script drives: any of client-go's three, or controller-runtime's.
type queue interface {
	workqueue.TypedInterface[string]
}

// observed is a limiter that tells the trace when what it delays will be due.
type observed struct {
	limiter
	trace *trace
}

func (o observed) When(key string) time.Duration {
	delay := o.limiter.When(key)
	o.trace.due(delay)
	return delay
}

// style is how a script treats its queue.
type style struct {
	calls, keys, workers int
	idle                 time.Duration // longest pause
	stray                float64       // share of Done for keys that nobody holds
	stop                 string        // shut_down, shut_down_with_drain or both, two thirds into the script
}

func recordQueues(t *testing.T) {
	styles := []style{
		{2000, 4, 2, time.Minute, 0, ""},
		{2000, 12, 5, time.Hour, 0, "shut_down"},
		{2000, 40, 60, 10 * time.Second, 0, "shut_down_with_drain"},
		{2000, 100, 3, time.Hour, 0, "both"},
		{2200, 8, 4, time.Minute, 0.05, ""},
	}
	for i, style := range styles {
		name := fmt.Sprintf("queue-%02d", i)
		record(t, "workqueue.queue", clientGo, name, uint64(300+i), object{}, func(r *trace) {
			r.every = int64(500 * time.Millisecond)
			m := &metrics{}
			q := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[string]{Name: "q", MetricsProvider: m})
			queueScript(r, style, q, m)
		})
		name = fmt.Sprintf("delaying-%02d", i)
		record(t, "workqueue.delaying", clientGo, name, uint64(400+i), object{}, func(r *trace) {
			r.every = int64(500 * time.Millisecond)
			m := &metrics{}
			q := workqueue.NewTypedDelayingQueueWithConfig(
				workqueue.TypedDelayingQueueConfig[string]{Name: "q", MetricsProvider: m})
			queueScript(r, style, q, m)
		})
		limiters := []object{
			controllerDefault(), exponential(5*time.Millisecond, 1000*time.Second), maxOf(bucket(3.0, 2), fastSlow(0, time.Second, 2)),
			withMaxWait(controllerDefault(), time.Second), exponential(1<<40, 1<<62),
		}
		name = fmt.Sprintf("rate-limiting-%02d", i)
		config := object{"limiter": limiters[i]}
		record(t, "workqueue.rate_limiting", clientGo, name, uint64(500+i), config, func(r *trace) {
			r.every = int64(500 * time.Millisecond)
			m := &metrics{}
			q := workqueue.NewTypedRateLimitingQueueWithConfig(observed{build(limiters[i]), r},
				workqueue.TypedRateLimitingQueueConfig[string]{Name: "q", MetricsProvider: m})
			queueScript(r, style, q, m)
		})
	}
}

// queueScript plays producers and workers at once. Delays come in round numbers as well, so that many are due together.
func queueScript(r *trace, s style, q queue, m *metrics) {
	pool := keys(s.keys)
	var held []string
	delaying, _ := q.(workqueue.TypedDelayingInterface[string])
	limited, _ := q.(workqueue.TypedRateLimitingInterface[string])
	workload := 0.5 // share of calls that take work away rather than bring it
	answer := func(more object) object {
		synctest.Wait()
		if more == nil {
			more = object{}
		}
		more["len"] = q.Len()
		return more
	}
	for r.calls < s.calls {
		if delay := r.pause(s.idle); delay > 0 {
			r.sleep(delay)
			if r.chance(0.3) {
				r.call("advance", nil, answer(nil))
			}
		}
		if r.chance(0.02) {
			workload = pick(r.random, 0.2, 0.5, 0.8)
		}
		if r.calls == s.calls*2/3 || r.calls == s.calls*5/6 {
			if stop := s.stops(r.calls); stop == "shut_down" {
				q.ShutDown()
				r.call(stop, nil, answer(nil))
			} else if stop != "" {
				go q.ShutDownWithDrain()
				r.call(stop, nil, answer(nil))
			}
		}
		key := pick(r.random, pool...)
		if r.chance(workload) {
			switch roll := r.Float64(); {
			case roll < s.stray:
				q.Done(key)
				held = without(held, key)
				r.call("done", []any{key}, answer(nil))
			case roll < 0.5 && len(held) < s.workers:
				if q.Len() == 0 && !q.ShuttingDown() {
					r.call("get", nil, answer(object{"key": nil, "shutdown": false}))
				} else if got, shutdown := q.Get(); shutdown {
					r.call("get", nil, answer(object{"key": nil, "shutdown": true}))
				} else {
					held = append(held, got)
					r.call("get", nil, answer(object{"key": got, "shutdown": false}))
				}
			case len(held) > 0:
				i := r.IntN(len(held))
				key, held = held[i], append(held[:i:i], held[i+1:]...)
				q.Done(key)
				r.call("done", []any{key}, answer(nil))
			}
			continue
		}
		switch roll := r.Float64(); {
		case roll < 0.08:
			r.call("metrics", nil, answer(m.read(0, 0)))
		case limited != nil && roll < 0.35:
			limited.AddRateLimited(key)
			r.call("add_rate_limited", []any{key}, answer(nil))
		case limited != nil && roll < 0.45:
			limited.Forget(key)
			r.call("forget", []any{key}, answer(nil))
		case limited != nil && roll < 0.50:
			r.call("num_requeues", []any{key}, answer(object{"n": limited.NumRequeues(key)}))
		case delaying != nil && roll < 0.75:
			delay := r.delay()
			r.due(delay)
			delaying.AddAfter(key, delay)
			r.call("add_after", []any{key, int64(delay)}, answer(nil))
		default:
			q.Add(key)
			r.call("add", []any{key}, answer(nil))
		}
	}
	for _, key := range held { // a drain waits for them
		q.Done(key)
		r.call("done", []any{key}, answer(nil))
	}
	q.ShutDown()
	r.call("shut_down", nil, answer(nil))
	r.call("metrics", nil, answer(m.read(0, 0)))
	time.Sleep(11 * time.Second) // the delaying queue's loop ends with its next heartbeat
}

// stops is what happens to the queue at this point of the script, if anything.
func (s style) stops(calls int) string {
	early := calls == s.calls*2/3
	switch {
	case s.stop == "both" && early:
		return "shut_down_with_drain"
	case s.stop == "both":
		return "shut_down"
	case early:
		return s.stop
	}
	return ""
}

// delay is for AddAfter: round or not, from none (or less) to hours.
func (r *trace) delay() time.Duration {
	switch roll := r.Float64(); {
	case roll < 0.1:
		return pick(r.random, 0, -1, -time.Hour)
	case roll < 0.5:
		delay := pick(r.random, time.Millisecond, 10*time.Millisecond, time.Second, 10*time.Second)
		return delay - time.Duration((r.now+int64(delay))%int64(delay)) // to the next full one: many due at once
	default:
		return r.spread(1, 2*time.Hour)
	}
}

func without(held []string, key string) []string {
	var rest []string
	for _, other := range held {
		if other != key {
			rest = append(rest, other)
		}
	}
	return rest
}
