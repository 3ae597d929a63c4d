package flowcontrol

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	fq "k8s.io/apiserver/pkg/util/flowcontrol/fairqueuing"
	"k8s.io/apiserver/pkg/util/flowcontrol/fairqueuing/eventclock"
	"k8s.io/apiserver/pkg/util/flowcontrol/fairqueuing/queueset"
	"k8s.io/apiserver/pkg/util/flowcontrol/metrics"
	fcrequest "k8s.io/apiserver/pkg/util/flowcontrol/request"
)

type noGauge struct{}

func (noGauge) Set(float64)            {}
func (noGauge) Inc()                   {}
func (noGauge) Dec()                   {}
func (noGauge) Add(float64)            {}
func (noGauge) SetToCurrentTime()      {}
func (noGauge) SetDenominator(float64) {}

type noGauges struct{}

func (noGauges) NewForLabelValuesSafe(float64, float64, []string) metrics.RatioedGauge {
	return noGauge{}
}

// flowHash is hashFlowID of apf_controller.go, which is not exported; the traces of the whole controller use the real one.
func flowHash(schema, distinguisher string) uint64 {
	sum := sha256.Sum256([]byte(schema + "\x00" + distinguisher))
	return binary.LittleEndian.Uint64(sum[:8])
}

// scene is a level and how a script treats it.
type scene struct {
	calls                       int
	limit, queues, hand, length int
	flows                       int
	wide, lingering             float64 // shares of requests
	widest                      int
	service                     time.Duration // longest pause between calls
	wait                        time.Duration // longest wait in a queue
	changesLimit                bool
}

func TestQueueSets(t *testing.T) {
	if *out == "" {
		t.Skip("no -out given")
	}
	scenes := []scene{
		{1800, 4, 8, 3, 5, 6, 0, 0, 1, 4 * time.Millisecond, 15 * time.Second, false},
		{1800, 20, 64, 6, 50, 12, 0.2, 0.2, 10, time.Millisecond, 15 * time.Second, false},
		{1800, 3, 4, 2, 3, 5, 0.3, 0.3, 7, 8 * time.Millisecond, 100 * time.Millisecond, true},
		{1800, 10, 128, 6, 50, 3, 0.05, 0.1, 10, time.Millisecond, 15 * time.Second, true},
		{1500, 1, 1, 1, 20, 3, 0, 0, 1, 5 * time.Millisecond, time.Second, false},
		{1500, 6, 16, 4, 2, 40, 0.4, 0.4, 10, 2 * time.Millisecond, 30 * time.Millisecond, true},
		{700, 12, 0, 0, 0, 3, 0.3, 0.3, 20, 2 * time.Millisecond, time.Second, true},
		{300, 0, -1, 0, 0, 3, 0.3, 0.3, 20, 2 * time.Millisecond, time.Second, true},
	}
	for i, s := range scenes {
		config := object{"limit": s.limit, "queues": s.queues, "hand_size": s.hand, "queue_length": s.length}
		record(t, "apiserver.queueset", fmt.Sprintf("queueset-%02d", i), uint64(1000+i), config, s.play)
	}
}

func (s scene) play(r *trace) {
	clock := eventclock.Real{}
	demand := fq.NewNamedIntegrator(clock, "level")
	queuing := fq.QueuingConfig{Name: "level", DesiredNumQueues: s.queues, QueueLengthLimit: s.length, HandSize: s.hand}
	begun, err := queueset.NewQueueSetFactory(clock).BeginConstruction(
		queuing, metrics.RatioedGaugePair{RequestsWaiting: noGauge{}, RequestsExecuting: noGauge{}}, noGauge{}, demand)
	if err != nil {
		r.t.Fatal(err)
	}
	limit := s.limit
	level := begun.Complete(fq.DispatchingConfig{ConcurrencyLimit: limit, ConcurrencyDenominator: 1})
	d := &desk{trace: r, limit: func() int { return limit }}
	if s.queues < 1 {
		d.limit = func() int { return math.MaxInt }
	}
	answer := func(but *guest, more object) object {
		dump := level.Dump(false)
		more["changed"] = d.told(but)
		more["level"] = []int{dump.Executing, dump.SeatsInUse, dump.Waiting, dump.SeatsWaiting}
		return more
	}
	load := 0.5
	for r.calls < s.calls {
		if r.chance(0.7) {
			delay := r.spread(s.service)
			if r.chance(0.003) {
				delay = r.spread(5 * s.wait)
			}
			r.sleep(delay)
			if more := answer(nil, object{}); len(more["changed"].([]any)) > 0 || r.chance(0.02) {
				r.call("advance", nil, more)
			}
		}
		if r.chance(0.02) {
			load = pick(r, 0.25, 0.5, 0.6, 0.9)
		}
		executing, queued := d.in("executing"), d.in("queued")
		switch roll := r.Float64(); {
		case roll < 0.03:
			r.call("queues", nil, object{"queues": busyQueues(level)})
		case roll < 0.045 && len(queued) > 0:
			g := pick(r, queued...)
			g.cancel()
			r.sleep(0)
			r.call("cancel", []any{g.id}, answer(nil, object{}))
		case roll < 0.06:
			// As the controller does it every 10 s: first read the demand, then set the limit, be it the same.
			if s.changesLimit {
				limit = r.IntN(2*s.limit + 2)
			}
			more := told(demand.Reset())
			change, err := level.BeginConfigChange(queuing)
			if err != nil {
				r.t.Fatal(err)
			}
			change.Complete(fq.DispatchingConfig{ConcurrencyLimit: limit, ConcurrencyDenominator: 1})
			r.sleep(0)
			r.call("adjust", []any{limit}, answer(nil, more))
		case r.chance(load):
			s.arrive(r, d, level, answer)
		case len(executing) > 0:
			g := pick(r, executing...)
			if d.mayFinish(g) {
				d.finish(g)
				r.call("finish", []any{g.id}, answer(nil, object{}))
			}
		}
	}
	d.close()
}

func (s scene) arrive(r *trace, d *desk, level fq.QueueSet, answer func(*guest, object) object) {
	estimate := fcrequest.WorkEstimate{InitialSeats: 1}
	if r.chance(s.wide) {
		estimate.InitialSeats = 1 + r.Uint64N(uint64(s.widest))
	}
	if r.chance(s.lingering) {
		estimate.FinalSeats = 1 + r.Uint64N(uint64(s.widest))
		estimate.AdditionalLatency = r.spread(50 * time.Millisecond)
	}
	// Few flows send most requests.
	flow := fmt.Sprintf("user-%d", min(r.IntN(s.flows), r.IntN(s.flows)))
	wait := r.free(r.spread(s.wait))
	handle := func(ctx context.Context, estimate fcrequest.WorkEstimate, note func(bool), execute func()) {
		request, _ := level.StartRequest(ctx, &estimate, flowHash("schema", flow), flow, "schema", nil, nil, note)
		if request != nil {
			request.Finish(execute)
		}
	}
	g := d.arrive(handle, estimate, wait)
	args := []any{g.id, flow, estimate.InitialSeats, estimate.FinalSeats, int64(estimate.AdditionalLatency), int64(wait)}
	r.call("arrive", args, answer(g, object{"state": g.state}))
}

// busyQueues is [index, waiting, executing, next_r] of each queue that is not idle.
func busyQueues(level fq.QueueSet) []any {
	busy := []any{}
	for i, q := range level.Dump(false).Queues {
		if len(q.Requests) > 0 || q.ExecutingRequests > 0 {
			whole, fraction, _ := strings.Cut(strings.TrimSuffix(q.NextDispatchR, "ss"), ".")
			ticks, err := strconv.ParseInt(whole+fraction, 10, 64)
			if err != nil {
				panic(err)
			}
			busy = append(busy, []any{i, len(q.Requests), q.ExecutingRequests, ticks})
		}
	}
	return busy
}

// told is the demand as sums over time: the library's averages of them are not whole numbers.
func told(seen fq.IntegratorResults) object {
	average, deviation := seen.Average, seen.Deviation
	if seen.Duration <= 0 {
		average = 0
	}
	if math.IsNaN(deviation) {
		deviation = 0
	}
	return object{
		"peak":           int(math.Round(seen.Max)),
		"seats_seconds":  average * seen.Duration,
		"square_seconds": (average*average + deviation*deviation) * seen.Duration,
	}
}
