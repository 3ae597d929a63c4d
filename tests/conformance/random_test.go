package conformance

import (
	"math/rand/v2"
	"time"
)

// random is the seeded source of every script; PCG, so that a seed means the same in every Go release.
type random struct{ *rand.Rand }

func newRandom(seed uint64) *random { return &random{rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))} }

func pick[T any](r *random, choices ...T) T { return choices[r.IntN(len(choices))] }

// chance is true with probability p.
func (r *random) chance(p float64) bool { return r.Float64() < p }

// spread is a duration between low and high, uniform in its magnitude.
func (r *random) spread(low, high time.Duration) time.Duration {
	for high/2 > low && r.chance(0.5) {
		high /= 8
	}
	if high <= low {
		return low
	}
	return low + time.Duration(r.Int64N(int64(high-low)))
}

// pause is how long a script waits before its next call: mostly not at all, now and then for hours.
func (r *random) pause(idle time.Duration) time.Duration {
	switch roll := r.Float64(); {
	case roll < 0.55:
		return 0
	case roll < 0.70:
		return r.spread(1, time.Microsecond)
	case roll < 0.90:
		return r.spread(time.Microsecond, 50*time.Millisecond)
	case roll < 0.995:
		return r.spread(time.Millisecond, 20*time.Second)
	default:
		return r.spread(time.Second, idle)
	}
}

// keys is a pool of n keys, degenerate ones among them.
func keys(n int) []string {
	all := []string{"a", "b", "ns/a", "", "ns/", "c", "ns/b", "kube-system/c"}
	for i := len(all); i < n; i++ {
		all = append(all, "k"+string(rune('0'+i/10%10))+string(rune('0'+i%10)))
	}
	return all[:n]
}
