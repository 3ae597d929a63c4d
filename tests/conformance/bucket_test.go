package conformance

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

func recordBuckets(t *testing.T) {
	for i, shape := range []struct {
		rate    any // tokens per second, or "inf"
		burst   int
		cancels float64 // share of calls that cancel
		most    int     // tokens asked for at once
	}{
		{10.0, 100, 0.12, 40}, {3.0, 1, 0.12, 3}, {1.0 / 300, 25, 0.12, 10}, {0.1, 5, 0.12, 6}, {1e9, 3, 0.12, 4},
		{1e-9, 2, 0.12, 3}, {"inf", 0, 0.12, 3}, {0.0, 4, 0.12, 3}, {50.0, 0, 0.12, 1}, {10.0, 3, 0.4, 2},
		{1234.5678, 1e9, 0.05, 3e8},
	} {
		seed := uint64(100 + i)
		config := object{"rate": shape.rate, "burst": shape.burst}
		record(t, "ratelimit.bucket", xTime, fmt.Sprintf("bucket-%02d", i), seed, config, func(r *trace) {
			bucketScript(r, rate.NewLimiter(limit(shape.rate), shape.burst), shape.most, shape.cancels, 1100)
		})
	}
}

func limit(r any) rate.Limit {
	if r == "inf" {
		return rate.Inf
	}
	return rate.Limit(r.(float64))
}

// undone reserves a bucket's last tokens and one more, then cancels that and the first of them: what a cancellation
// gives back depends on whether the one before it moved the time of the last event.
func undone(r *trace, limiter *rate.Limiter, reservations []*rate.Reservation) []*rate.Reservation {
	r.sleep(time.Minute)
	first := len(reservations)
	for range limiter.Burst() + 1 {
		reservation := limiter.Reserve()
		reservations = append(reservations, reservation)
		r.call("reserve", nil, object{"ok": reservation.OK(), "delay_ns": reservation.Delay()})
	}
	for _, i := range []int{len(reservations) - 1, first} {
		reservations[i].Cancel()
		r.call("cancel", []any{i}, nil)
	}
	r.call("tokens", nil, object{"tokens": limiter.Tokens()})
	return reservations
}

// bucketScript drives a limiter into debt and out of it, cancels old and new reservations, changes rate and burst on the way.
func bucketScript(r *trace, limiter *rate.Limiter, most int, cancels float64, calls int) {
	var reservations []*rate.Reservation
	greed := min(most, 3)
	for r.calls < calls {
		r.sleep(r.pause(48 * time.Hour))
		if r.chance(0.01) && limiter.Burst() < 10 {
			reservations = undone(r, limiter, reservations)
		}
		if r.chance(0.01) {
			greed = max(1, most/pick(r.random, 1, 1, 3, 10))
		}
		n := r.IntN(greed + 1)
		if r.chance(cancels) && len(reservations) > 0 {
			i := len(reservations) - 1 - r.IntN(min(len(reservations), 6))
			reservations[i].Cancel()
			r.call("cancel", []any{i}, nil)
			continue
		}
		switch roll := r.Float64(); {
		case roll < 0.15:
			r.call("allow", nil, object{"ok": limiter.Allow()})
		case roll < 0.27:
			r.call("allow_n", []any{n}, object{"ok": limiter.AllowN(time.Now(), n)})
		case roll < 0.47:
			reservation := limiter.Reserve()
			reservations = append(reservations, reservation)
			r.call("reserve", nil, object{"ok": reservation.OK(), "delay_ns": reservation.Delay()})
		case roll < 0.62:
			reservation := limiter.ReserveN(time.Now(), n)
			reservations = append(reservations, reservation)
			r.call("reserve_n", []any{n}, object{"ok": reservation.OK(), "delay_ns": reservation.Delay()})
		case roll < 0.97:
			r.call("tokens", nil, object{"tokens": limiter.Tokens()})
		case roll < 0.985:
			changed := pick[any](r.random, 10.0, 0.5, 1000.0, "inf", 0.0, 3.0, 1.0/7)
			limiter.SetLimit(limit(changed))
			r.call("set_rate", []any{changed}, nil)
		default:
			burst := pick(r.random, 0, 1, 5, 30, 100)
			limiter.SetBurst(burst)
			r.call("set_burst", []any{burst}, nil)
		}
	}
}
