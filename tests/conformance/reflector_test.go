//go:debug randseednop=0

package conformance

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/features"
	featuretesting "k8s.io/client-go/features/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// The reflector draws its backoff and its watch timeouts from the global math/rand. Seeding that (see randseednop above)
// makes them known: `draws` gives the same sequence, and each draw stands in the trace as an argument of the call that took it.

func TestRecordReflector(t *testing.T) {
	if *out == "" {
		t.Skip("no -out given")
	}
	quiet(t)
	for i, c := range []struct {
		name                    string
		watchList               bool
		pageSize                int64
		minTimeout, retry, sync time.Duration
		storms                  bool
	}{
		{name: "list"},
		{name: "list-storm", storms: true},
		{name: "list-pages", pageSize: 3},
		{name: "list-resync", sync: 90 * time.Second},
		{name: "list-internal", retry: 30 * time.Second, storms: true, pageSize: 10000},
		{name: "stream", watchList: true},
		{name: "stream-storm", watchList: true, storms: true},
		{name: "stream-resync", watchList: true, sync: 20 * time.Minute, minTimeout: 7*time.Minute + 3*time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			featuretesting.SetFeatureDuringTest(t, features.WatchListClient, c.watchList)
			config := object{
				"watch_list": c.watchList, "page_size": c.pageSize, "min_watch_timeout_ns": int64(c.minTimeout),
				"internal_error_retry_ns": int64(c.retry), "resync_ns": int64(c.sync),
			}
			seed := uint64(1000 + i)
			record(t, "cache.reflector", clientGo, fmt.Sprintf("reflector-%02d-%s", i, c.name), seed, config, func(r *trace) {
				s := newReflectorScript(r, seed+*shift, c.storms)
				reflector := cache.NewReflectorWithOptions(s, &corev1.Pod{}, s, cache.ReflectorOptions{
					ResyncPeriod: c.sync, MinWatchTimeout: c.minTimeout,
				})
				reflector.WatchListPageSize = c.pageSize
				reflector.MaxInternalErrorRetryDuration = c.retry
				reflector.ShouldResync = s.shouldResync
				s.internal = c.retry > 0
				s.last, s.sorted, s.period = reflector.LastSyncResourceVersion, c.watchList, c.sync
				s.run(reflector.RunWithContext, 1500)
			})
		})
	}
}

// quiet keeps the libraries from writing logs, and from sleeping after errors: that would count the years of the bubble.
func quiet(t *testing.T) {
	klog.LogToStderr(false)
	klog.SetOutput(discard{})
	handlers := utilruntime.ErrorHandlers
	utilruntime.ErrorHandlers = nil
	t.Cleanup(func() { utilruntime.ErrorHandlers = handlers })
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// request is a List or Watch that the reflector has sent and that waits for its answer.
type request struct {
	told   object
	list   *metav1.ListOptions
	watch  *metav1.ListOptions
	answer chan any // *corev1.PodList, *stream or error
}

// stream is an open watch.
type stream struct {
	events  chan watch.Event
	stopped bool
}

func (s *stream) Stop()                          { s.stopped = true }
func (s *stream) ResultChan() <-chan watch.Event { return s.events }

// reflectorScript is the server that the reflector talks to, the store that it fills, and the script between them.
type reflectorScript struct {
	*trace
	requests chan *request
	draws    *rand.Rand
	storms   bool
	internal bool // many internal errors
	sorted   bool
	last     func() string
	period   time.Duration

	pool      []*corev1.Pod
	revision  int
	pending   *request
	open      *stream
	initial   bool // the open stream still owes its initial events
	told      []any
	fired     int
	nextFire  int64
	pages     int
	resyncing bool
}

func newReflectorScript(r *trace, seed uint64, storms bool) *reflectorScript {
	rand.Seed(int64(seed)) //nolint:staticcheck // the only way to know what a library draws
	return &reflectorScript{
		trace: r, requests: make(chan *request), draws: rand.New(rand.NewSource(int64(seed))), storms: storms,
		pool: pods(r.random, 9), revision: 100,
	}
}

// What the reflector calls.

func (s *reflectorScript) send(ctx context.Context, r *request) (any, error) {
	r.answer = make(chan any, 1)
	select {
	case s.requests <- r:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case answer := <-r.answer:
		if err, ok := answer.(error); ok {
			return nil, err
		}
		return answer, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *reflectorScript) ListWithContext(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	if o.TimeoutSeconds != nil || o.AllowWatchBookmarks || o.SendInitialEvents != nil || o.ResourceVersionMatch != "" || o.Watch {
		panic(fmt.Sprintf("a list asks for more than is recorded: %v", o))
	}
	told := object{"rv": o.ResourceVersion, "limit": o.Limit, "continue": o.Continue}
	answer, err := s.send(ctx, &request{told: object{"list": told}, list: &o})
	if err != nil {
		return nil, err
	}
	return answer.(*corev1.PodList), nil
}

func (s *reflectorScript) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	initial := o.SendInitialEvents != nil && *o.SendInitialEvents
	told := object{
		"rv": o.ResourceVersion, "timeout_seconds": *o.TimeoutSeconds, "bookmarks": o.AllowWatchBookmarks, "initial": initial,
		"match": string(o.ResourceVersionMatch),
	}
	answer, err := s.send(ctx, &request{told: object{"watch": told}, watch: &o})
	if err != nil {
		return nil, err
	}
	return answer.(*stream), nil
}

func (s *reflectorScript) List(o metav1.ListOptions) (runtime.Object, error)   { panic("no context") }
func (s *reflectorScript) Watch(o metav1.ListOptions) (watch.Interface, error) { panic("no context") }

func (s *reflectorScript) tell(kind string, obj any) error {
	s.told = append(s.told, []any{kind, written(obj.(*corev1.Pod))})
	return nil
}
func (s *reflectorScript) Add(obj any) error    { return s.tell("added", obj) }
func (s *reflectorScript) Update(obj any) error { return s.tell("modified", obj) }
func (s *reflectorScript) Delete(obj any) error { return s.tell("deleted", obj) }
func (s *reflectorScript) Resync() error        { s.resyncing = true; return nil }
func (s *reflectorScript) Replace(list []any, version string) error {
	content := []object{}
	for _, obj := range list {
		content = append(content, written(obj.(*corev1.Pod)))
	}
	if s.sorted { // a stream's objects come out of a map
		slices.SortFunc(content, func(a, b object) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	}
	s.told = append(s.told, []any{"replace", content, version})
	return nil
}

func (s *reflectorScript) shouldResync() bool {
	s.fired++
	s.nextFire = int64(time.Since(s.started)) + int64(s.period)
	return true
}

// What the script does.

// run plays server to a reflector until there are that many calls.
func (s *reflectorScript) run(reflect func(context.Context), calls int) {
	ctx, cancel := context.WithCancel(klog.NewContext(context.Background(), logr.Discard()))
	go reflect(ctx)
	s.did("start", nil)
	for s.calls < calls {
		switch {
		case s.open != nil && s.internal && s.chance(0.4):
			s.internalError()
		case s.pending != nil && s.pending.list != nil:
			s.rest(200 * time.Millisecond)
			s.answerList()
		case s.pending != nil:
			s.rest(200 * time.Millisecond)
			s.answerWatch()
		case s.initial:
			s.streamInitial()
		default:
			s.watching()
		}
	}
	cancel()
	synctest.Wait()
}

// rest lets time pass, and notes when the resync timer will fire so that nothing else happens at that instant.
func (s *reflectorScript) rest(most time.Duration) {
	pause := time.Duration(0)
	switch roll := s.Float64(); {
	case roll < 0.4:
	case roll < 0.9:
		pause = s.spread(1, most)
	default:
		pause = s.spread(most, 20*most)
	}
	if s.period > 0 && s.nextFire > 0 {
		for at := s.nextFire; at <= s.now+int64(pause)+1; at += int64(s.period) {
			s.busy[at] = true
		}
	}
	s.sleep(pause)
}

// did writes one call: what the reflector did about it at once, and what it asked for, maybe after a rest.
func (s *reflectorScript) did(op string, args []any) {
	fired := s.fired
	synctest.Wait()
	answer := object{"last": s.last(), "fired": fired, "rest_ns": int64(0), "call": nil}
	draws := []float64{}
	at := s.now
	s.pending = nil
	if s.open != nil && s.open.stopped {
		s.open, s.initial = nil, false
	}
	if s.open == nil {
		s.pending = <-s.requests
		now := int64(time.Since(s.started))
		if rest := now - at; rest > 0 {
			if rest < int64(800*time.Millisecond) || rest >= int64(time.Minute) {
				panic("a backoff outside of what is documented")
			}
			answer["rest_ns"] = rest
			draws = append(draws, s.draws.Float64())
		}
		if s.pending.watch != nil {
			draws = append(draws, s.draws.Float64())
		}
		answer["call"] = s.pending.told
		s.now = now
	}
	replaced := slices.ContainsFunc(s.told, func(told any) bool { return told.([]any)[0] == "replace" })
	if s.period > 0 && replaced {
		s.nextFire = at + int64(s.period)
	}
	answer["told"], s.told = s.told, nil
	if answer["told"] == nil || len(answer["told"].([]any)) == 0 {
		answer["told"] = []any{}
	}
	// The call happened before the rest.
	s.calls++
	if err := s.encoder.Encode(line{at, op, append([]any{draws}, args...), answer}); err != nil {
		panic(err)
	}
}

func (s *reflectorScript) answerList() {
	request := s.pending
	trouble := 0.25
	if s.storms {
		trouble = 0.6
	}
	if s.chance(trouble) {
		name, err := s.failure(false)
		request.answer <- err
		s.did("list_failed", []any{name})
		return
	}
	s.revision += s.IntN(5)
	list := &corev1.PodList{}
	content := []object{}
	for _, pod := range s.pool {
		if s.chance(0.4) {
			pod := newPod(pod.Namespace, pod.Name, strconv.Itoa(1+s.IntN(s.revision)))
			list.Items, content = append(list.Items, *pod), append(content, written(pod))
		}
	}
	list.ResourceVersion = strconv.Itoa(s.revision)
	if request.list.Limit > 0 && s.chance(0.35) {
		s.pages++
		list.Continue = fmt.Sprintf("page %d", s.pages)
	}
	request.answer <- list
	s.did("listed", []any{list.ResourceVersion, content, list.Continue})
}

func (s *reflectorScript) answerWatch() {
	request := s.pending
	trouble := 0.2
	if s.storms {
		trouble = 0.6
	}
	if s.chance(trouble) {
		name, err := s.failure(false)
		request.answer <- err
		s.did("watch_failed", []any{name})
		return
	}
	s.open = &stream{events: make(chan watch.Event)}
	s.initial = request.watch.SendInitialEvents != nil
	request.answer <- s.open
	s.did("watch_opened", nil)
}

func (s *reflectorScript) streamInitial() {
	switch roll := s.Float64(); {
	case roll < 0.55:
		s.rest(100 * time.Millisecond)
		s.event()
	case roll < 0.6:
		s.bookmark(false)
	case roll < 0.85:
		s.initial = false
		s.bookmark(true)
	case roll < 0.9 && s.storms:
		s.breakOff()
	case roll < 0.93:
		s.close()
	}
}

func (s *reflectorScript) watching() {
	trouble := 0.12
	if s.storms {
		trouble = 0.5
	}
	switch roll := s.Float64(); {
	case roll < trouble/2:
		s.breakOff()
	case roll < trouble:
		s.close()
	case roll < trouble+0.1:
		s.rest(time.Minute)
		s.bookmark(s.chance(0.1))
	default:
		s.rest(pick(s.random, time.Millisecond, time.Second, 10*time.Second))
		s.event()
	}
}

func (s *reflectorScript) event() {
	s.revision += 1 + s.IntN(3)
	pod := pick(s.random, s.pool...)
	pod = newPod(pod.Namespace, pod.Name, strconv.Itoa(s.revision))
	kind := pick(s.random, watch.Added, watch.Modified, watch.Modified, watch.Deleted)
	s.open.events <- watch.Event{Type: kind, Object: pod}
	s.did("event", []any{strings.ToLower(string(kind)), written(pod)})
}

func (s *reflectorScript) bookmark(end bool) {
	s.revision += s.IntN(4)
	pod := newPod("", "", strconv.Itoa(s.revision))
	if end {
		pod.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	}
	s.open.events <- watch.Event{Type: watch.Bookmark, Object: pod}
	s.did("bookmark", []any{pod.ResourceVersion, end})
}

func (s *reflectorScript) close() {
	if s.chance(0.5) {
		s.rest(pick(s.random, time.Second, 2*time.Minute))
	} else if s.chance(0.3) {
		s.sleep(pick(s.random, time.Second-1, time.Second))
	}
	close(s.open.events)
	s.did("watch_closed", nil)
}

// internalError is one of a spell of them; some leave a gap of about the minute that separates spells.
func (s *reflectorScript) internalError() {
	s.rest(pick(s.random, time.Second, 10*time.Second, 40*time.Second))
	if s.chance(0.1) {
		s.sleep(pick(s.random, 30*time.Second, time.Minute-1, time.Minute))
	}
	s.open.events <- watch.Event{Type: watch.Error, Object: &apierrors.NewInternalError(errors.New("no leader")).ErrStatus}
	s.did("watch_failed", []any{"INTERNAL"})
}

func (s *reflectorScript) breakOff() {
	s.rest(pick(s.random, time.Second, 20*time.Second))
	name, err := s.failure(true)
	status := err.(apierrors.APIStatus).Status()
	s.open.events <- watch.Event{Type: watch.Error, Object: &status}
	s.did("watch_failed", []any{name})
}

// failure is an error and the name of its kind; of a stream only what a server can put into an event.
func (s *reflectorScript) failure(inStream bool) (string, error) {
	pods := schema.GroupResource{Resource: "pods"}
	switch name := pick(s.random, "CONNECTION_REFUSED", "TOO_MANY_REQUESTS", "EXPIRED", "EXPIRED", "GONE",
		"TOO_LARGE_RESOURCE_VERSION", "INTERNAL", "INVALID", "OTHER"); name {
	case "CONNECTION_REFUSED":
		if inStream {
			return s.failure(inStream)
		}
		refused := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
		return name, &url.Error{Op: "Get", URL: "https://server/api/v1/pods", Err: refused}
	case "TOO_MANY_REQUESTS":
		return name, apierrors.NewTooManyRequests("wait", 1)
	case "EXPIRED":
		return name, apierrors.NewResourceExpired("too old resource version")
	case "GONE":
		return name, apierrors.NewGone("gone")
	case "TOO_LARGE_RESOURCE_VERSION":
		err := apierrors.NewTimeoutError("Too large resource version", 1)
		err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge}}
		return name, err
	case "INTERNAL":
		return name, apierrors.NewInternalError(errors.New("etcdserver: no leader"))
	case "INVALID":
		return name, apierrors.NewInvalid(schema.GroupKind{Kind: "ListOptions"}, "", nil)
	default:
		return name, apierrors.NewForbidden(pods, "", errors.New("no"))
	}
}
