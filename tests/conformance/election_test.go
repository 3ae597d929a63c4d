package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	_ "unsafe" // for linkname

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

// jitterRand is where every jittered wait of apimachinery takes its share from: ours is seeded and remembers what it gave.
//
//go:linkname jitterRand k8s.io/apimachinery/pkg/util/wait.jitterRand
var jitterRand func() float64

// TestRecordElection drives the real LeaderElector with the real LeaseLock and REST client; below them a RoundTripper stands
// for the API server. What each elector asked, when, and what came back is written as the trace of a state machine.
func TestRecordElection(t *testing.T) {
	if *out == "" || *modfile != "go.mod" {
		t.Skip("no -out given, or for another module file")
	}
	klog.SetLogger(logr.Discard())
	realJitter := jitterRand
	defer func() { jitterRand = realJitter }()
	for i, s := range []electionScript{
		{lease: 15 * time.Second, renew: 10 * time.Second, retry: 2 * time.Second, electors: 1},
		{lease: 15 * time.Second, renew: 10 * time.Second, retry: 2 * time.Second, electors: 2, release: true},
		{lease: 15 * time.Second, renew: 10 * time.Second, retry: 2 * time.Second, electors: 3},
		{lease: 15 * time.Second, renew: 10 * time.Second, retry: 2 * time.Second, electors: 4, release: true, others: true},
		{lease: 15 * time.Second, renew: 10 * time.Second, retry: 2 * time.Second, electors: 2, others: true},
		{lease: 60 * time.Second, renew: 40 * time.Second, retry: 5 * time.Second, electors: 3, others: true},
		{lease: 3 * time.Second, renew: time.Second, retry: 300 * time.Millisecond, electors: 3, release: true, others: true},
		{lease: 2700 * time.Millisecond, renew: 2100 * time.Millisecond, retry: 200 * time.Millisecond, electors: 2, others: true},
		{lease: 137 * time.Second, renew: 107 * time.Second, retry: 15 * time.Second, electors: 3, release: true},
		{lease: 15 * time.Second, renew: 10 * time.Second, retry: 2 * time.Second, timeout: 25 * time.Second, electors: 3, others: true},
	} {
		if s.timeout == 0 {
			s.timeout = max(time.Second, s.renew/2) // resourcelock.NewFromKubeconfig
		}
		recordElection(t, i, s, 1300)
	}
}

// electionScript is who stands for election, and with which times.
type electionScript struct {
	lease, renew, retry, timeout time.Duration
	electors                     int
	release                      bool
	others                       bool // somebody else writes the lease now and then, or deletes it
}

func recordElection(t *testing.T, i int, s electionScript, requests int) {
	config := object{
		"lease_duration_ns": int64(s.lease), "renew_deadline_ns": int64(s.renew), "retry_period_ns": int64(s.retry),
		"client_timeout_ns": int64(s.timeout), "release_on_cancel": s.release,
	}
	record(t, "leaderelection.elector", clientGo, fmt.Sprintf("elector-%02d", i), uint64(1000+i), config, func(r *trace) {
		w := &election{trace: r, script: s, settling: make(chan struct{}, 1), draws: map[int64]float64{}}
		draws := newRandom(r.Uint64())
		jitterRand = func() float64 {
			u := pick(draws, 0, draws.Float64(), draws.Float64(), draws.Float64(), draws.Float64(), 1-1.0/(1<<53))
			w.locked(func() {
				if _, twice := w.draws[w.at()]; twice {
					panic("two electors drew in one instant")
				}
				w.draws[w.at()] = u
			})
			return u
		}
		w.run(requests)
		w.write()
	})
}

// election is one lease, those who want it, and the log of what they did.
type election struct {
	*trace
	script   electionScript
	mutex    sync.Mutex
	settling chan struct{}
	log      []happened
	draws    map[int64]float64
	requests int
	revision int
	lease    *coordinationv1.Lease // nil: there is none
}

// happened is one thing an elector did, or that was done to it (trigger).
type happened struct {
	at      int64
	elector int
	trigger string
	args    []any
	step    []any
	rank    int // order within an instant: callbacks run in goroutines of their own
}

func (w *election) at() int64 { return int64(time.Since(w.started)) }

func (w *election) locked(do func()) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	do()
}

func (w *election) note(h happened) {
	w.locked(func() {
		h.at = w.at()
		w.log = append(w.log, h)
	})
}

// settle lets all else that can happen in this instant happen first.
func (w *election) settle() {
	w.settling <- struct{}{}
	synctest.Wait()
	<-w.settling
}

// candidate is one elector and the network between it and the server.
type candidate struct {
	*election
	*random
	number  int
	cancel  context.CancelFunc
	weather weather
	done    chan struct{}
}

// weather is how requests fare for a while.
type weather struct {
	fast, slow     time.Duration // latency, uniform in its magnitude
	lost, refused  float64       // no answer (and half of the time it never arrives); an error
	serverTrouble  float64       // 500
	lostAfterApply float64       // applied, but the answer does not come
}

var weathers = []weather{
	{fast: time.Millisecond, slow: 20 * time.Millisecond},
	{fast: time.Millisecond, slow: 80 * time.Millisecond, serverTrouble: 0.02, refused: 0.02},
	{fast: 100 * time.Millisecond, slow: 3 * time.Second, serverTrouble: 0.05},
	{fast: 500 * time.Millisecond, slow: 9 * time.Second, serverTrouble: 0.05, refused: 0.1},
	{fast: time.Millisecond, slow: 20 * time.Millisecond, refused: 0.4, serverTrouble: 0.3},
	{fast: time.Millisecond, slow: 20 * time.Millisecond, lost: 0.5},
	{fast: time.Millisecond, slow: 20 * time.Millisecond, lostAfterApply: 0.5},
	{fast: time.Millisecond, slow: 20 * time.Millisecond, lost: 1},
	{fast: time.Millisecond, slow: 20 * time.Millisecond, refused: 1},
}

// run is the script: candidates come, go and come back, the weather changes, and somebody else may take the lease.
func (w *election) run(requests int) {
	var standing []*candidate
	began := 0
	join := func() {
		identity := fmt.Sprintf("e%d", began)
		if w.chance(0.3) {
			identity = fmt.Sprintf("e%d", w.IntN(w.script.electors)) // back under an old name
		}
		standing = append(standing, w.candidate(began, identity))
		began++
	}
	for asked := 0; asked < requests; w.locked(func() { asked = w.requests }) {
		time.Sleep(time.Duration(1 + w.Int64N(int64(w.script.lease))))
		still := standing[:0]
		for _, c := range standing {
			select {
			case <-c.done:
			default:
				still = append(still, c)
			}
		}
		standing = still
		switch roll := w.Float64(); {
		case len(standing) < w.script.electors && roll < 0.5:
			join()
		case roll < 0.70:
			for _, c := range standing {
				if c.chance(0.6) {
					c.locked(func() { c.weather = pick(c.random, append(weathers, weathers[0], weathers[0], weathers[1])...) })
				}
			}
		case roll < 0.75 && len(standing) > 0:
			w.stop(standing[w.IntN(len(standing))])
		case roll < 0.95 && w.script.others:
			w.meddle()
		}
	}
	for _, c := range standing {
		c.locked(func() { c.weather = weathers[0] })
		time.Sleep(time.Duration(1 + w.Int64N(int64(w.script.lease))))
		w.stop(c)
		<-c.done
	}
	time.Sleep(time.Hour) // requests that nobody waits for any more
}

func (w *election) stop(c *candidate) {
	select {
	case <-c.done:
	default:
		c.note(happened{elector: c.number, trigger: "cancel"})
		c.cancel()
	}
}

func (w *election) candidate(number int, identity string) *candidate {
	c := &candidate{election: w, random: newRandom(w.Uint64()), number: number, weather: weathers[1], done: make(chan struct{})}
	httpClient := &http.Client{Transport: c, Timeout: w.script.timeout}
	config := &rest.Config{Host: "http://server", QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}
	leases := must(coordination.NewForConfigAndClient(config, httpClient))
	elector := must(leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: "ns", Name: "lock"},
			Client:     leases,
			LockConfig: resourcelock.ResourceLockConfig{Identity: identity, EventRecorder: c},
		},
		LeaseDuration: w.script.lease, RenewDeadline: w.script.renew, RetryPeriod: w.script.retry, ReleaseOnCancel: w.script.release,
		Callbacks: leaderelection.LeaderCallbacks{
			OnNewLeader:      func(id string) { c.did(0, "new_leader", id) },
			OnStartedLeading: func(context.Context) { c.did(2, "started") },
			OnStoppedLeading: func() { c.did(5, "stopped") },
		},
	}))
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	w.note(happened{elector: number, trigger: "start", args: []any{identity}})
	go func() {
		defer close(c.done)
		elector.Run(ctx)
		c.did(6, "done")
	}()
	return c
}

func (c *candidate) did(rank int, step ...any) {
	c.note(happened{elector: c.number, step: step, rank: rank})
}

// Eventf takes the place of the event recorder.
func (c *candidate) Eventf(_ runtime.Object, _, _, format string, args ...any) {
	_, message, _ := strings.Cut(fmt.Sprintf(format, args...), " ")
	c.did(map[string]int{"became leader": 1, "stopped leading": 4}[message], "event", message)
}

// meddle is what others do to the lease, without a request of ours: take it, renew it, release it, delete it.
func (w *election) meddle() {
	w.locked(func() {
		now := metav1.NewMicroTime(time.Now().Truncate(time.Microsecond)) // as JSON keeps it
		holder, seconds := pick(w.random, "x", "y", "e0", ""), int32(pick(w.random, 0, 1, 2, 15, 15, 40))
		transitions := int32(w.IntN(9))
		switch {
		case w.lease == nil || w.chance(0.3):
			w.revision++
			w.lease = &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{
				HolderIdentity: &holder, LeaseDurationSeconds: &seconds, AcquireTime: &now, RenewTime: &now, LeaseTransitions: &transitions,
			}}
			if w.chance(0.2) {
				w.lease.Spec = coordinationv1.LeaseSpec{}
			}
		case w.chance(0.2):
			w.lease = nil
		case w.chance(0.5): // a change that whole seconds may not show
			w.revision++
			w.lease = w.lease.DeepCopy()
			w.lease.Spec.RenewTime = &now
		default:
			w.revision++
			w.lease = w.lease.DeepCopy()
			w.lease.Spec.HolderIdentity = &holder
		}
		if w.lease != nil {
			w.lease.ResourceVersion = strconv.Itoa(w.revision)
		}
	})
}

// RoundTrip is the network and the API server.
func (c *candidate) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	c.settle()
	if err := ctx.Err(); err != nil {
		return nil, err // nothing is sent
	}
	deadline, _ := ctx.Deadline()
	expires := int64(deadline.Sub(c.started))
	wanted := &coordinationv1.Lease{}
	if req.Body != nil {
		if err := json.Unmarshal(must(io.ReadAll(req.Body)), wanted); err != nil {
			panic(err)
		}
	}
	switch req.Method {
	case http.MethodGet:
		c.did(3, "get", expires)
	case http.MethodPost:
		c.did(3, "create", c.spec(wanted), expires)
	case http.MethodPut:
		c.did(3, "update", c.spec(wanted), must(strconv.Atoi(wanted.ResourceVersion)), expires)
	}
	var now weather
	c.locked(func() {
		c.requests++
		now = c.weather
	})
	latency := c.spread(now.fast, now.slow)
	arrives, answers := true, true
	switch {
	case c.chance(now.lost):
		arrives, answers = c.chance(0.5), false
	case c.chance(now.lostAfterApply):
		answers = false
	case c.chance(now.refused):
		return c.fails(ctx, latency, errors.New("connection refused"))
	case c.chance(now.serverTrouble):
		return c.answers(ctx, latency, &applied{code: http.StatusInternalServerError, verdict: "error"}, false)
	}
	way := time.Duration(1 + c.Int64N(int64(latency)))
	result := &applied{}
	if arrives { // even if the client has given up by then
		go func() {
			time.Sleep(way)
			c.locked(func() { c.apply(req.Method, wanted, result) })
		}()
	}
	if !answers {
		return c.fails(ctx, 1000*time.Hour, nil)
	}
	return c.answers(ctx, latency+1, result, req.Method == http.MethodGet)
}

// applied is what the server made of a request.
type applied struct {
	code    int
	verdict string
	lease   *coordinationv1.Lease
}

func (c *candidate) apply(method string, wanted *coordinationv1.Lease, result *applied) {
	switch {
	case method == http.MethodPost && c.lease != nil:
		result.code, result.verdict = http.StatusConflict, "conflict"
	case method != http.MethodPost && c.lease == nil:
		result.code, result.verdict = http.StatusNotFound, "not_found"
	case method == http.MethodPut && c.lease.ResourceVersion != wanted.ResourceVersion:
		result.code, result.verdict = http.StatusConflict, "conflict"
	default:
		result.code, result.verdict = http.StatusOK, "ok"
		if method != http.MethodGet {
			c.revision++
			c.lease = wanted.DeepCopy()
			c.lease.ResourceVersion = strconv.Itoa(c.revision)
		}
		result.lease = c.lease
	}
}

// answers waits for the answer and hands it over, unless the client gives up first.
func (c *candidate) answers(ctx context.Context, latency time.Duration, result *applied, read bool) (*http.Response, error) {
	if !c.wait(ctx, latency) {
		return nil, ctx.Err()
	}
	answer, body := object{"verdict": result.verdict}, any(result.lease)
	if result.lease == nil {
		body = metav1.Status{
			TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: int32(result.code),
			Reason: map[int]metav1.StatusReason{
				409: metav1.StatusReasonConflict, 404: metav1.StatusReasonNotFound, 500: metav1.StatusReasonInternalError,
			}[result.code],
		}
	} else {
		lease := result.lease.DeepCopy()
		lease.Kind, lease.APIVersion, lease.Name, lease.Namespace = "Lease", "coordination.k8s.io/v1", "lock", "ns"
		body = lease
		answer["rv"] = must(strconv.Atoi(lease.ResourceVersion))
		if read {
			answer["record"] = c.spec(lease)
		}
	}
	c.note(happened{elector: c.number, trigger: "answer", args: []any{answer}})
	return &http.Response{
		StatusCode: result.code, Header: http.Header{"Content-Type": []string{"application/json"}},
		Body: io.NopCloser(bytes.NewReader(must(json.Marshal(body)))),
	}, nil
}

func (c *candidate) fails(ctx context.Context, latency time.Duration, err error) (*http.Response, error) {
	if !c.wait(ctx, latency) {
		return nil, ctx.Err()
	}
	c.note(happened{elector: c.number, trigger: "answer", args: []any{object{"verdict": "error"}}})
	return nil, err
}

// wait is false if the client gave up first.
func (c *candidate) wait(ctx context.Context, latency time.Duration) bool {
	select {
	case <-ctx.Done():
		if !errors.Is(ctx.Err(), context.Canceled) {
			c.note(happened{elector: c.number, trigger: "answer", args: []any{object{"verdict": "timeout"}}})
		}
		return false
	case <-time.After(latency):
		return true
	}
}

// spec is a record as a trace has it: holder, lease duration in seconds, acquire time, renew time, transitions.
func (w *election) spec(lease *coordinationv1.Lease) []any {
	read := resourcelock.LeaseSpecToLeaderElectionRecord(&lease.Spec)
	when := func(t metav1.Time) any {
		if t.IsZero() {
			return nil
		}
		return int64(t.Sub(w.started))
	}
	return []any{read.HolderIdentity, read.LeaseDurationSeconds, when(read.AcquireTime), when(read.RenewTime), read.LeaderTransitions}
}

// write turns the log into calls: what set an elector going at an instant, and what it did then.
func (w *election) write() {
	byElector := map[int][]happened{}
	for _, h := range w.log {
		byElector[h.elector] = append(byElector[h.elector], h)
	}
	var lines []line
	for elector := 0; elector < len(byElector); elector++ {
		lines = append(lines, w.calls(elector, byElector[elector])...)
	}
	sort.SliceStable(lines, func(a, b int) bool { return lines[a].At < lines[b].At })
	for _, l := range lines {
		r := w.trace
		r.now = l.At
		r.call(l.Op, l.Args, l.Out)
	}
}

func (w *election) calls(elector int, log []happened) []line {
	var lines []line
	for i := 0; i < len(log); {
		j := i
		for j < len(log) && log[j].at == log[i].at {
			j++
		}
		l := line{At: log[i].at, Op: "wake", Args: []any{elector}}
		var steps []happened
		for _, h := range log[i:j] {
			switch {
			case h.trigger == "":
				steps = append(steps, h)
			case l.Op != "wake":
				panic(fmt.Sprint("two things at once: ", h.trigger, " and ", l.Op, " at ", l.At))
			default:
				l.Op, l.Args = h.trigger, append(l.Args, h.args...)
			}
		}
		sort.SliceStable(steps, func(a, b int) bool { return steps[a].rank < steps[b].rank })
		does := []any{}
		asleep := true
		for _, h := range steps {
			does = append(does, h.step)
			asleep = asleep && h.rank != 3 && h.rank != 6
		}
		l.Out = object{"do": does}
		if u, drawn := w.draws[l.At]; drawn && asleep && l.Op == "answer" {
			l.Args[1].(object)["draw"] = u
		}
		if asleep && j < len(log) && log[j].trigger == "" {
			l.Out["until"] = log[j].at
			w.check(l, log[j].at)
		}
		lines = append(lines, l)
		i = j
	}
	return lines
}

// check that a candidate sleeps as long as documented.
func (w *election) check(l line, until int64) {
	if _, drawn := w.draws[l.At]; !drawn {
		return
	}
	if slept := until - l.At; slept < int64(w.script.retry) || float64(slept) >= 2.2*float64(w.script.retry) {
		panic(fmt.Sprintf("slept %d ns, not between retry period and 2.2 times that", slept))
	}
}
