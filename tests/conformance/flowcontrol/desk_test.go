package flowcontrol

import (
	"context"
	"sort"
	"sync"
	"testing/synctest"
	"time"

	fcrequest "k8s.io/apiserver/pkg/util/flowcontrol/request"
)

// handler is how a request goes through the library: it calls `note` when the request enters and leaves a queue, and
// `execute` if and when it may execute.
type handler func(ctx context.Context, estimate fcrequest.WorkEstimate, note func(bool), execute func())

type guest struct {
	id       int
	level    string
	estimate fcrequest.WorkEstimate
	state    string // "", queued, executing, rejected, done
	left     int64  // when it left its queue
	retry    int64
	cancel   context.CancelFunc
	release  chan struct{}
}

// desk is where requests come and go: it knows who is where, and in which order they left their queues.
type desk struct {
	trace    *trace
	lock     sync.Mutex
	guests   []*guest
	moved    []*guest // who left a queue since it was last told
	limit    func() int
	rejected func(*guest) // called for each request that was not executed
}

// arrive sends a request through `handle` and waits until it has come to rest.
func (d *desk) arrive(handle handler, estimate fcrequest.WorkEstimate, wait time.Duration) *guest {
	wait = d.trace.free(wait)
	d.trace.due(wait)
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	g := &guest{id: len(d.guests), estimate: estimate, cancel: cancel, release: make(chan struct{})}
	d.guests = append(d.guests, g)
	note := func(in bool) {
		d.lock.Lock()
		defer d.lock.Unlock()
		if in {
			g.state = "queued"
			return
		}
		g.left = d.trace.now()
		d.moved = append(d.moved, g)
	}
	execute := func() {
		d.lock.Lock()
		g.state = "executing"
		if limit := uint64(d.limit()); g.estimate.FinalSeats > limit {
			work := fcrequest.SeatsTimesDuration(float64(g.estimate.FinalSeats), g.estimate.AdditionalLatency)
			g.estimate.AdditionalLatency = work.DurationPerSeat(float64(limit))
		}
		d.lock.Unlock()
		<-g.release
	}
	go func() {
		handle(ctx, estimate, note, execute)
		d.lock.Lock()
		defer d.lock.Unlock()
		if g.state == "executing" {
			g.state = "done"
		} else {
			g.state = "rejected"
			if d.rejected != nil {
				d.rejected(g)
			}
		}
	}()
	synctest.Wait()
	return g
}

// finish answers an executing request, not at an instant at which its final phase would end together with something else.
func (d *desk) finish(g *guest) {
	extra := g.estimate.AdditionalLatency
	if extra > 0 {
		d.trace.due(extra)
	}
	close(g.release)
	synctest.Wait()
	g.cancel()
	synctest.Wait()
}

// mayFinish is false where the end of the final phase would fall together with another timer.
func (d *desk) mayFinish(g *guest) bool {
	extra := g.estimate.AdditionalLatency
	return extra <= 0 || !d.trace.isBusy(d.trace.now()+int64(extra))
}

// told is who else started or was rejected since the last time: [id, when, state], in that order; `but` is left out.
func (d *desk) told(but *guest) []any {
	d.lock.Lock()
	defer d.lock.Unlock()
	changed := []any{}
	// Levels are adjusted at one instant in random order: by name, then, and each in its own order.
	sort.SliceStable(d.moved, func(i, j int) bool {
		a, b := d.moved[i], d.moved[j]
		return a.left < b.left || a.left == b.left && a.level < b.level
	})
	for _, g := range d.moved {
		if g != but {
			entry := []any{g.id, g.left, g.state}
			if g.state == "rejected" && d.rejected != nil {
				entry = append(entry, g.retry)
			}
			changed = append(changed, entry)
		}
	}
	d.moved = nil
	return changed
}

// in is the requests that are in a state.
func (d *desk) in(state string) []*guest {
	var found []*guest
	for _, g := range d.guests {
		if g.state == state {
			found = append(found, g)
		}
	}
	return found
}

// close ends everything, so that the bubble can be left.
func (d *desk) close() {
	for _, g := range d.guests {
		g.cancel()
	}
	synctest.Wait()
	for len(d.in("executing")) > 0 {
		for _, g := range d.in("executing") {
			close(g.release)
		}
		synctest.Wait()
	}
	time.Sleep(time.Hour)
}
