package conformance

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	events "k8s.io/client-go/tools/record"
)

func recordCorrelators(t *testing.T) {
	for i, config := range []object{
		{},
		{"burst": 5, "qps": 0.1},
		{"burst": 2, "qps": 1.0 / 300},
		{"max_events": 3, "max_interval_seconds": 60, "burst": 100},
		{"lru_cache_size": 4, "burst": 3, "qps": 1.0 / 300},
		{"burst": 1000, "qps": 50.0, "max_events": 10, "max_interval_seconds": 10},
	} {
		recordCorrelator(t, i, config)
	}
}

func recordCorrelator(t *testing.T, i int, config object) {
	record(t, "events.correlator", clientGo, fmt.Sprintf("correlator-%02d", i), uint64(800+i), config, func(r *trace) {
		options := events.CorrelatorOptions{}
		if n, ok := config["lru_cache_size"].(int); ok {
			options.LRUCacheSize = n
		}
		if n, ok := config["burst"].(int); ok {
			options.BurstSize = n
		}
		if qps, ok := config["qps"].(float64); ok {
			options.QPS = float32(qps)
		}
		if n, ok := config["max_events"].(int); ok {
			options.MaxEvents = n
		}
		if n, ok := config["max_interval_seconds"].(int); ok {
			options.MaxIntervalInSeconds = n
		}
		correlatorScript(r, options, 1800)
	})
}

// group is what the script knows of one aggregation key. Once a group is full, the library forgets an arbitrary one of its
// messages each time (map order), so from then on, until the group has expired, the script sends only new ones.
type group struct {
	messages map[string]bool
	last     int64
	full     bool
}

func correlatorScript(r *trace, options events.CorrelatorOptions, calls int) {
	correlator := events.NewEventCorrelatorWithOptions(options)
	most, interval := options.MaxEvents, int64(options.MaxIntervalInSeconds)*int64(time.Second)
	if most == 0 {
		most = 10
	}
	if interval == 0 {
		interval = 600 * int64(time.Second)
	}
	groups := map[string]*group{}
	fresh := 0
	for r.calls < calls {
		if r.chance(0.4) {
			r.sleep(r.pause(3 * time.Hour))
		}
		if r.chance(0.02) && options.QPS != 0 { // when the next token is due; it is early, since qps is a float32
			r.sleep(time.Duration(float64(time.Second)/float64(options.QPS)) - pick(r.random, 0, 1, time.Microsecond, time.Millisecond))
		}
		source := pick(r.random, "k", "s", "k", "")
		kind, ns, name := pick(r.random, "Pod", "Node"), pick(r.random, "ns", "n", ""), pick(r.random, "a", "sa", "b", "")
		reason, what := pick(r.random, "F", "P"), pick(r.random, corev1.EventTypeNormal, corev1.EventTypeWarning)
		key := source + kind + ns + name + what + reason
		g := groups[key]
		if g != nil && r.chance(0.01) && r.now-g.last < interval { // exactly the interval is not too old
			r.sleep(time.Duration(interval - (r.now - g.last)))
		}
		if g == nil || r.now-g.last > interval {
			g = &group{messages: map[string]bool{}}
			groups[key] = g
		}
		message := fmt.Sprint("m", r.IntN(most+1))
		if r.chance(0.2) || g.full {
			fresh++
			message = fmt.Sprint("f", fresh)
		}
		g.messages[message], g.last = true, r.now
		g.full = g.full || len(g.messages) >= most
		result := must(correlator.EventCorrelate(&corev1.Event{
			InvolvedObject: corev1.ObjectReference{Kind: kind, Namespace: ns, Name: name},
			Source:         corev1.EventSource{Component: source},
			Reason:         reason, Message: message, Type: what, Count: 1,
		}))
		args := object{"source": source, "kind": kind, "ns": ns, "name": name, "reason": reason, "message": message, "type": what}
		answer := object{"skip": result.Skip}
		if !result.Skip {
			answer["count"], answer["message"] = result.Event.Count, result.Event.Message
		}
		r.call("correlate", []any{args}, answer)
	}
}
