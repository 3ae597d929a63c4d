// What the article times, timed again: comparisons with a zero value, and a map behind a lock or copied at every write.
//
//	go test -bench . -benchtime 200ms -count 5 | python record.py > ../../data/reference/go-zero-values.json
package reference

import (
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

type small struct{ N int }

var (
	yes   bool
	value int
)

func BenchmarkDeepEqualSmall(b *testing.B) {
	x, zero := small{0}, small{}
	for i := 0; i < b.N; i++ {
		yes = reflect.DeepEqual(x, zero)
	}
}

func BenchmarkDirectSmall(b *testing.B) {
	x, zero := small{0}, small{}
	for i := 0; i < b.N; i++ {
		x.N = i & 1
		yes = x == zero
	}
}

func BenchmarkDeepEqual1KiB(b *testing.B) {
	x, zero := make([]byte, 1024), make([]byte, 1024)
	for i := 0; i < b.N; i++ {
		yes = reflect.DeepEqual(x, zero)
	}
}

func filled(n int) map[string]int {
	m := make(map[string]int, n)
	for i := 0; i < n; i++ {
		m["key-"+strconv.Itoa(i)] = i
	}
	return m
}

func copied(m map[string]int, key string, v int) map[string]int {
	c := make(map[string]int, len(m)+1)
	for k, x := range m {
		c[k] = x
	}
	c[key] = v
	return c
}

var sizes = []int{10, 100, 1000, 10000}

func BenchmarkCopy(b *testing.B) {
	for _, n := range sizes {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			m := filled(n)
			for i := 0; i < b.N; i++ {
				value = len(copied(m, "key-1", i))
			}
		})
	}
}

func BenchmarkSnapshotRead(b *testing.B) {
	m := filled(100)
	var p atomic.Pointer[map[string]int]
	p.Store(&m)
	b.RunParallel(func(pb *testing.PB) {
		sum := 0
		for pb.Next() {
			sum += (*p.Load())["key-7"]
		}
		_ = sum
	})
}

func BenchmarkLockedRead(b *testing.B) {
	m := filled(100)
	var mu sync.RWMutex
	b.RunParallel(func(pb *testing.PB) {
		sum := 0
		for pb.Next() {
			mu.RLock()
			sum += m["key-7"]
			mu.RUnlock()
		}
		_ = sum
	})
}

func BenchmarkLockedWrite(b *testing.B) {
	m := filled(100)
	var mu sync.RWMutex
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			mu.Lock()
			m["key-7"] = i
			mu.Unlock()
		}
	})
}

// The article's put: copy, change, publish, without a lock. Reported: updates that are not in the map afterwards.
func TestPublishedPutLosesUpdates(t *testing.T) {
	const threads, puts = 8, 2000
	m := map[string]int{}
	var p atomic.Pointer[map[string]int]
	p.Store(&m)
	var group sync.WaitGroup
	for w := 0; w < threads; w++ {
		group.Add(1)
		go func(w int) {
			defer group.Done()
			for i := 0; i < puts; i++ {
				next := copied(*p.Load(), strconv.Itoa(w)+"-"+strconv.Itoa(i%50), i)
				p.Store(&next)
			}
		}(w)
	}
	group.Wait()
	kept := 0
	for w := 0; w < threads; w++ {
		for k := 0; k < 50; k++ {
			if v, ok := (*p.Load())[strconv.Itoa(w)+"-"+strconv.Itoa(k)]; ok && v == puts-50+k {
				kept++
			}
		}
	}
	t.Logf("keys with their last value: %d of %d", kept, threads*50)
}
