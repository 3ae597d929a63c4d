package conformance

import (
	"fmt"
	"math"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
)

func recordBackoffs(t *testing.T) {
	for i, b := range []wait.Backoff{
		{Duration: 800 * time.Millisecond, Factor: 2, Steps: math.MaxInt32, Cap: 30 * time.Second},
		{Duration: 10 * time.Millisecond, Factor: 1, Steps: 5},
		{Duration: 10 * time.Millisecond, Factor: 5, Steps: 4},
		{Duration: 7 * time.Millisecond, Factor: 1.37, Steps: 60, Cap: time.Hour},
		{Duration: time.Second, Factor: 0, Steps: 3, Cap: time.Millisecond},
		{Duration: 3, Factor: 1.9, Steps: 300},
		{Duration: time.Second, Factor: 0.7, Steps: 100},
		{Duration: time.Minute, Factor: 2, Steps: 0},
		{Duration: 10 * time.Second, Factor: 0.7, Steps: 9, Cap: 5 * time.Second},
		{Duration: 1, Factor: 10, Steps: 40, Cap: math.MaxInt64},
	} {
		config := object{"duration_ns": int64(b.Duration), "factor": b.Factor, "steps": b.Steps, "cap_ns": int64(b.Cap)}
		record(t, "wait.backoff", apimachinery, fmt.Sprintf("backoff-%02d", i), uint64(900+i), config, func(r *trace) {
			current, rest := b, 0.01
			for r.calls < 1150 {
				if r.chance(rest) {
					current, rest = b, pick(r.random, 0.003, 0.05, 0.3)
					r.call("reset", nil, nil)
				} else {
					r.call("step", nil, object{"delay_ns": current.Step()})
				}
			}
		})
	}
	for i, m := range []struct {
		initial, maximum, reset time.Duration
		factor                  float64
	}{
		{800 * time.Millisecond, 30 * time.Second, 2 * time.Minute, 2}, // the reflector's, its jitter apart
		{time.Second, time.Hour, time.Minute, 1.5},
		{time.Millisecond, time.Minute, 0, 3},
	} {
		config := object{"initial_ns": int64(m.initial), "max_ns": int64(m.maximum), "reset_ns": int64(m.reset), "factor": m.factor}
		record(t, "wait.backoff_manager", apimachinery, fmt.Sprintf("manager-%02d", i), uint64(950+i), config, func(r *trace) {
			c := &asked{}
			manager := wait.NewExponentialBackoffManager(m.initial, m.maximum, m.reset, m.factor, 0, c)
			idle := m.reset
			for r.calls < 3400 {
				if r.chance(0.02) {
					idle = pick(r.random, m.reset, m.reset/2, 2*m.reset, time.Second)
				}
				r.sleep(r.pause(idle + 1))
				if r.chance(0.05) {
					r.sleep(pick(r.random, m.reset, m.reset+1, 2*m.reset)) // exactly the period does not reset
				}
				manager.Backoff()
				r.call("next", nil, object{"delay_ns": c.delay})
			}
		})
	}
}

// asked is the clock of the bubble, except that it hands out timers that never fire and notes for how long they were asked.
type asked struct {
	clock.RealClock
	delay time.Duration
}

type never struct{ clock *asked }

func (c *asked) NewTimer(delay time.Duration) clock.Timer {
	c.delay = delay
	return never{c}
}

func (never) C() <-chan time.Time { return nil }
func (never) Stop() bool          { return true }
func (n never) Reset(delay time.Duration) bool {
	n.clock.delay = delay
	return true
}
