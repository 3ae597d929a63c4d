package xtime

import (
	"math/rand/v2"
	"testing"
	"time"

	"foreign/tr"

	"golang.org/x/time/rate"
)

func limit(v any) rate.Limit {
	if v == "inf" {
		return rate.Inf
	}
	return rate.Limit(v.(float64))
}

func config(r *rand.Rand) tr.M {
	rates := []any{10.0, 0.5, 3.0, 1.0 / 300, 1000.0, 50.0, 0.1, 1e9, 333.3333, 7e-5}
	return tr.M{"rate": rates[r.IntN(len(rates))], "burst": []int{1, 1, 3, 10, 25, 100}[r.IntN(6)]}
}

func TestBucket(t *testing.T) {
	tr.Run(t, "ratelimit.bucket", "golang.org/x/time", "", config, func(t *tr.Trace, c tr.M) { drive(t, c, false) })
}

func TestZero(t *testing.T) {
	tr.Run(t, "ratelimit.bucket", "golang.org/x/time", "zero", func(r *rand.Rand) tr.M {
		return tr.M{"rate": []any{0.0, "inf", 0.0}[r.IntN(3)], "burst": []int{0, 5, 1}[r.IntN(3)]}
	}, func(t *tr.Trace, c tr.M) { drive(t, c, true) })
}

func TestExtreme(t *testing.T) {
	tr.Run(t, "ratelimit.bucket", "golang.org/x/time", "extreme", func(r *rand.Rand) tr.M {
		return tr.M{"rate": []any{1e-12, 1e-9, 1e18, 1e300, -1.0, 1e-300}[r.IntN(6)], "burst": []int{-3, 5, 1 << 40, 1}[r.IntN(4)]}
	}, func(t *tr.Trace, c tr.M) {
		l := rate.NewLimiter(limit(c["rate"]), c["burst"].(int))
		if t.Chance(50) {
			b := tr.Pick(t, 7, 2, 1<<40)
			l.SetBurst(b)
			t.Call("set_burst", []any{b}, nil)
		}
		var rs []*rate.Reservation
		for range tr.Ops() {
			t.Sleep(t.Gap())
			now := time.Now()
			switch n := t.IntN(100); {
			case n < 50:
				k := tr.Pick(t, 1, 2, 3, 5, -2, 1<<40, 1<<62)
				r := l.ReserveN(now, k)
				rs = append(rs, r)
				t.Call("reserve_n", []any{k}, tr.M{"ok": r.OK(), "delay_ns": int64(r.DelayFrom(now))})
			case n < 60:
				k := tr.Pick(t, 1, 2, -1, 0)
				t.Call("allow_n", []any{k}, tr.M{"ok": l.AllowN(now, k)})
			case n < 75:
				if len(rs) > 0 {
					i := len(rs) - 1 - t.IntN(min(len(rs), 6))
					rs[i].Cancel()
					t.Call("cancel", []any{i}, nil)
				}
			case n < 90:
				t.Call("tokens", nil, tr.M{"tokens": l.TokensAt(now)})
			case n < 96:
				v := tr.Pick[any](t, 1e-12, 1e-9, 1e18, 1e300, -1.0, 10.0, "inf", 0.0)
				l.SetLimit(limit(v))
				t.Call("set_rate", []any{v}, nil)
			default:
				b := tr.Pick(t, -3, 0, 1, 1<<40, 10)
				l.SetBurst(b)
				t.Call("set_burst", []any{b}, nil)
			}
		}
	})
}

func drive(t *tr.Trace, c tr.M, corners bool) {
	l := rate.NewLimiter(limit(c["rate"]), c["burst"].(int))
	var rs []*rate.Reservation
	for range tr.Ops() {
		t.Sleep(t.Gap())
		now := time.Now()
		switch n := t.IntN(100); {
		case n < 12:
			t.Call("allow", nil, tr.M{"ok": l.Allow()})
		case n < 22:
			k := tr.Pick(t, 0, 1, 2, 3, 5, 10, 30, 101)
			t.Call("allow_n", []any{k}, tr.M{"ok": l.AllowN(now, k)})
		case n < 45:
			r := l.Reserve()
			rs = append(rs, r)
			t.Call("reserve", nil, tr.M{"ok": r.OK(), "delay_ns": int64(r.DelayFrom(now))})
		case n < 60:
			k := tr.Pick(t, 0, 1, 2, 3, 5, 10, 30, 101)
			r := l.ReserveN(now, k)
			rs = append(rs, r)
			t.Call("reserve_n", []any{k}, tr.M{"ok": r.OK(), "delay_ns": int64(r.DelayFrom(now))})
		case n < 75:
			if len(rs) > 0 {
				i := len(rs) - 1 - t.IntN(min(len(rs), 6))
				if t.Chance(10) {
					i = t.IntN(len(rs))
				}
				rs[i].Cancel()
				t.Call("cancel", []any{i}, nil)
			}
		case n < 90:
			t.Call("tokens", nil, tr.M{"tokens": l.TokensAt(now)})
		case n < 96:
			rates := []any{10.0, 0.5, 3.0, 1.0 / 300, 1000.0, 50.0, 0.1, 1e9, 333.3333}
			if corners || t.Chance(10) {
				rates = append(rates, 0.0, "inf", 0.0, "inf", 0.0)
			}
			v := rates[t.IntN(len(rates))]
			l.SetLimit(limit(v))
			t.Call("set_rate", []any{v}, nil)
		default:
			bursts := []int{1, 2, 5, 10, 100, 1000}
			if corners {
				bursts = append(bursts, 0, 0)
			}
			b := bursts[t.IntN(len(bursts))]
			l.SetBurst(b)
			t.Call("set_burst", []any{b}, nil)
		}
	}
}
