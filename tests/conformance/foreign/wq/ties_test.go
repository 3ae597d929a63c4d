package wq

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"foreign/tr"

	"k8s.io/client-go/util/workqueue"
)

// TestTies: a hundred keys whose ready times are few, so that the heap's order among equals shows.
func TestTies(t *testing.T) {
	tr.Run(t, "workqueue.delaying", lib, "ties", func(r *rand.Rand) tr.M { return tr.M{} }, func(t *tr.Trace, c tr.M) {
		q := workqueue.NewDelayingQueueWithConfig(workqueue.DelayingQueueConfig{Name: "q", MetricsProvider: &provider{}})
		for n := 0; n < tr.Ops(); {
			for range 1 + t.IntN(120) {
				k, d := fmt.Sprintf("k%d", t.IntN(100)), int64(5e6)*int64(1+t.IntN(3))
				q.AddAfter(k, time.Duration(d))
				synctest.Wait()
				t.Call("add_after", []any{k, d}, tr.M{"len": q.Len()})
				if n++; t.Chance(5) {
					t.Sleep(5 * time.Millisecond)
				}
			}
			t.Sleep(time.Duration(5e6 * int64(1+t.IntN(3))))
			for q.Len() > 0 && t.Chance(97) {
				k, _ := q.Get()
				t.Call("get", nil, tr.M{"key": k, "shutdown": false, "len": q.Len()})
				q.Done(k)
				t.Call("done", []any{k}, tr.M{"len": q.Len()})
				n += 2
			}
		}
		q.ShutDown()
		t.Sleep(time.Second)
	})
}
