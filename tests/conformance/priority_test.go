package conformance

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
)

// canary is a key of the lowest priority that is always ready: a Get that would block returns it instead, and the harness puts
// it back. It changes no order between other keys; len, depth and adds are corrected for it. Up to 0.22.1 any key that is
// added to run at once goes before all that became ready by a delay, so there it is added only once a Get blocks.
const canary = "\x00canary"

// options are the AddOpts of every release: Priority was a number first and is a pointer from 0.22 on.
func options(after time.Duration, limited bool, priority int) priorityqueue.AddOpts {
	opts := priorityqueue.AddOpts{After: after, RateLimited: limited}
	if field := reflect.ValueOf(&opts).Elem().FieldByName("Priority"); field.Kind() == reflect.Pointer {
		field.Set(reflect.ValueOf(&priority))
	} else {
		field.SetInt(int64(priority))
	}
	return opts
}

func recordPriorityQueues(t *testing.T) {
	name, seed := "priority-%02d", uint64(600)
	release := strings.Join(strings.Split(strings.TrimPrefix(version(t, controllerRuntime), "v"), ".")[:2], ".")
	unordered := release == "0.20" || release == "0.21"
	if unordered || release == "0.22" {
		name = "priority-" + release + "-%02d"
	}
	if release == "0.21" { // the same rules as in 0.20: other calls
		seed = 650
	}
	for i, limiter := range []object{
		exponential(5*time.Millisecond, 1000*time.Second),
		controllerDefault(),
		exponential(time.Second, time.Minute),
		fastSlow(0, 3*time.Second, 2),
		exponential(1<<40, 1<<62),
		exponential(5*time.Millisecond, 1000*time.Second),
	} {
		config := object{"limiter": limiter}
		s := style{calls: 1900, keys: []int{4, 12, 40, 100, 6, 25}[i], workers: []int{2, 5, 50, 3, 6, 1}[i]}
		s.idle = []time.Duration{time.Minute, time.Hour, 10 * time.Second, time.Hour, time.Minute, 5 * time.Second}[i]
		s.stray = []float64{0, 0, 0, 0, 0.05, 0}[i]
		if !unordered { // there a Get after shutdown never returns
			s.stop = []string{"", "shut_down", "", "shut_down_with_drain", "", ""}[i]
		}
		record(t, "workqueue.priority", controllerRuntime, fmt.Sprintf(name, i), seed+uint64(i), config, func(r *trace) {
			r.every = int64(500 * time.Millisecond)
			m := &metrics{}
			q := priorityqueue.New("q", func(o *priorityqueue.Opts[string]) {
				o.MetricProvider = m
				o.RateLimiter = observed{build(limiter), r}
			})
			priorityScript(r, s, q, m, release)
		})
	}
}

func priorityScript(r *trace, s style, q priorityqueue.PriorityQueue[string], m *metrics, release string) {
	pool := keys(s.keys)
	priorities := []int{0, 0, 0, -100, 10, 1}
	var held []string
	workload := 0.5
	canaries, present, stopped := 0, 0, false
	unordered := release == "0.20" || release == "0.21"
	free := func() {
		q.AddWithOpts(options(0, false, math.MinInt), canary)
		canaries++
		synctest.Wait()
	}
	get := func() (string, bool) {
		if !unordered {
			return q.Get()
		}
		got := make(chan string, 1)
		go func() {
			key, _ := q.Get()
			got <- key
		}()
		synctest.Wait()
		if len(got) == 0 {
			free()
		}
		return <-got, false
	}
	if !unordered {
		present = 1
		free()
	}
	answer := func(more object) object {
		synctest.Wait()
		if more == nil {
			more = object{}
		}
		if release != "0.22" { // there Len stops at the first key that is not ready, so it may not reach the canary
			more["len"] = q.Len() - present
		}
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
		if s.stop != "" && !stopped && r.calls >= s.calls*5/6 {
			stopped = true
			if s.stop == "shut_down" {
				q.ShutDown()
			} else {
				q.ShutDownWithDrain()
			}
			r.call(s.stop, nil, answer(nil))
		}
		key := pick(r.random, pool...)
		if r.chance(workload) {
			switch roll := r.Float64(); {
			case roll < s.stray:
				q.Done(key)
				held = without(held, key)
				r.call("done", []any{key}, answer(nil))
			case roll < 0.5 && len(held) < s.workers:
				got, shutdown := get()
				switch {
				case shutdown:
					r.call("get", nil, answer(object{"key": nil, "shutdown": true}))
				case got == canary:
					q.Done(canary)
					if !unordered {
						free()
					}
					r.call("get", nil, answer(object{"key": nil, "shutdown": false}))
				default:
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
			r.call("metrics", nil, answer(m.read(present, canaries)))
		case roll < 0.25:
			q.AddRateLimited(key)
			r.call("add_rate_limited", []any{key}, answer(nil))
		case roll < 0.32:
			q.Forget(key)
			r.call("forget", []any{key}, answer(nil))
		case roll < 0.36:
			r.call("num_requeues", []any{key}, answer(object{"n": q.NumRequeues(key)}))
		case roll < 0.70:
			priority := pick(r.random, priorities...)
			after := time.Duration(0)
			if r.chance(0.5) {
				after = r.delay()
			}
			limited := r.chance(0.3)
			r.due(after)
			q.AddWithOpts(options(after, limited, priority), key)
			r.call("add_opts", []any{key, int64(after), priority, limited}, answer(nil))
		case roll < 0.85:
			delay := r.delay()
			r.due(delay)
			q.AddAfter(key, delay)
			r.call("add_after", []any{key, int64(delay)}, answer(nil))
		default:
			q.Add(key)
			r.call("add", []any{key}, answer(nil))
		}
	}
	r.call("metrics", nil, answer(m.read(present, canaries)))
	if !stopped {
		q.ShutDown()
	}
}
