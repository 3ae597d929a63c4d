package conformance

import (
	"errors"
	"fmt"
	"math/rand"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	events "k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
)

// TestRecordRecorder drives the real EventBroadcaster and its recorders against a scripted sink.
func TestRecordRecorder(t *testing.T) {
	if *out == "" || *modfile != "go.mod" {
		t.Skip("no -out given, or for another module file")
	}
	klog.SetLogger(logr.Discard())
	t.Setenv("GODEBUG", "randseednop=0") // the first sleep is drawn from the global source: let it be the same each time
	for i, config := range []object{
		{"sleep_ns": int64(10 * time.Second)},
		{"sleep_ns": int64(10 * time.Second), "burst": 200},
		{"sleep_ns": int64(10 * time.Second), "burst": 2000, "qps": 50.0, "max_events": 4, "max_interval_seconds": 60},
		{"sleep_ns": int64(10 * time.Second), "burst": 3, "qps": 0.01},
		{"sleep_ns": int64(time.Second), "burst": 50, "qps": 1.0, "lru_cache_size": 5},
		{"sleep_ns": int64(10 * time.Second), "burst": 100000, "qps": 1000.0},
		{"sleep_ns": int64(10 * time.Second), "burst": 100000, "qps": 1000.0, "max_events": 3},
	} {
		recordRecorder(t, i, config, 1700)
	}
}

func recordRecorder(t *testing.T, i int, config object, calls int) {
	seed := uint64(1300 + i)
	rand.Seed(int64(seed + *shift))
	record(t, "events.recorder", clientGo, fmt.Sprintf("recorder-%02d", i), seed, config, func(r *trace) {
		options := events.CorrelatorOptions{}
		if n, ok := config["lru_cache_size"].(int); ok {
			options.LRUCacheSize = n
		}
		if n, ok := config["burst"].(int); ok {
			options.BurstSize = n
		}
		if qps, ok := config["qps"].(float64); ok {
			options.QPS = float32(qps)
		}
		if n, ok := config["max_events"].(int); ok {
			options.MaxEvents = n
		}
		if n, ok := config["max_interval_seconds"].(int); ok {
			options.MaxIntervalInSeconds = n
		}
		sleep := time.Duration(config["sleep_ns"].(int64))
		broadcaster := events.NewBroadcaster(events.WithCorrelatorOptions(options), events.WithSleepDuration(sleep))
		s := &sink{trace: r, random: newRandom(r.Uint64()), names: map[string]int{}, stored: map[string]bool{}}
		broadcaster.StartRecordingToSink(s)
		s.script(broadcaster, calls, i%3 == 1)
		s.mood = mood{latency: time.Millisecond}
		time.Sleep(24 * time.Hour)
		broadcaster.Shutdown()
		synctest.Wait()
		s.write(sleep)
	})
}

// sink stands for the API server, and keeps the log: what was recorded, asked, answered.
type sink struct {
	*trace
	*random
	mutex  sync.Mutex
	mood   mood
	log    []happened
	names  map[string]int  // in the order in which they are seen first
	stored map[string]bool // Event objects that are there
}

// mood is how the server answers for a while.
type mood struct {
	latency            time.Duration
	silent, rejecting  float64
	forgets, disagrees float64 // the object has expired; the count in the answer is another
}

var moods = []mood{
	{latency: time.Millisecond},
	{latency: 5 * time.Millisecond, rejecting: 0.05, forgets: 0.05, disagrees: 0.03},
	{latency: 2 * time.Second, silent: 0.05, forgets: 0.1},
	{latency: 20 * time.Millisecond, silent: 0.5, rejecting: 0.1, forgets: 0.3},
	{latency: 20 * time.Millisecond, silent: 1},
	{latency: 3 * time.Second, silent: 1},
	{latency: time.Minute},
}

func (s *sink) script(broadcaster events.EventBroadcaster, calls int, stormy bool) {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		panic(err)
	}
	recorders := map[string]events.EventRecorder{}
	for _, component := range []string{"controller", "scheduler"} {
		recorders[component] = broadcaster.NewRecorder(scheme, corev1.EventSource{Component: component})
	}
	r := s.trace
	fresh, storm := 0, 0
	for recorded := 0; recorded < calls; recorded++ {
		if r.chance(0.01) {
			s.locked(func() { s.mood = pick(r.random, append(moods, moods[0], moods[1], moods[1])...) })
			if r.chance(0.3) { // long enough to give an event up
				time.Sleep(r.spread(time.Second, 5*time.Minute))
			}
		}
		if stormy && recorded == 300 { // more than the queue holds
			s.locked(func() { s.mood = mood{latency: time.Minute} })
			storm = 1150
		}
		if storm > 0 {
			storm--
			time.Sleep(time.Duration(1 + r.IntN(1000)))
		} else {
			time.Sleep(1 + r.pause(10*time.Hour)/pick(r.random, time.Duration(1), 1, 10, 100))
		}
		synctest.Wait()
		for s.busyNow() { // the sink acts in this instant: who is first would be up to the Go scheduler
			time.Sleep(1)
			synctest.Wait()
		}
		component, kind, name := pick(r.random, "controller", "controller", "scheduler"), "Pod", pick(r.random, "a", "b", "c")
		what, reason := pick(r.random, corev1.EventTypeNormal, corev1.EventTypeWarning), pick(r.random, "Failed", "Created", "Hot")
		message := fmt.Sprint("m", r.IntN(2))
		if reason == "Failed" { // always another, so that it does not matter which one a full aggregate forgets
			fresh++
			message = fmt.Sprint("f", fresh)
		}
		if reason == "Hot" {
			component, name, what, message = "controller", "a", corev1.EventTypeNormal, "again"
		}
		pod := &corev1.Pod{
			TypeMeta: metav1.TypeMeta{Kind: kind, APIVersion: "v1"}, ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name},
		}
		args := object{
			"source": component, "kind": kind, "ns": "ns", "name": name, "reason": reason, "message": message, "type": what,
		}
		s.note(happened{trigger: "record", args: []any{args}})
		recorders[component].Event(pod, what, reason, message)
		synctest.Wait()
	}
}

func (s *sink) at() int64 { return int64(time.Since(s.started)) }

func (s *sink) locked(do func()) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	do()
}

func (s *sink) note(h happened) {
	s.locked(func() {
		h.at = s.at()
		s.log = append(s.log, h)
	})
}

func (s *sink) busyNow() (busy bool) {
	s.locked(func() { busy = len(s.log) > 0 && s.log[len(s.log)-1].at == s.at() })
	return busy
}

func (s *sink) asked(what string, event *corev1.Event) mood {
	// In a bubble two events about one object, combined in one instant, get the same name.
	key := fmt.Sprint(event.Name, event.Source.Component, event.Type, event.Reason)
	name, seen := s.names[key]
	if !seen {
		name = len(s.names)
		s.names[key] = name
	}
	s.note(happened{step: []any{what, name, event.Count, event.Message}})
	var now mood
	s.locked(func() { now = s.mood })
	time.Sleep(s.spread(1, now.latency))
	return now
}

func (s *sink) Create(event *corev1.Event) (*corev1.Event, error) {
	now := s.asked("create", event)
	switch {
	case s.chance(now.silent):
		return nil, s.answers("no_answer", silences(s.random))
	case s.chance(now.rejecting):
		return nil, s.answers("rejected", rejections(s.random))
	case s.chance(now.rejecting / 4): // the namespace is gone: of a create this is the end
		return nil, s.answers("not_found", apierrors.NewNotFound(resource, event.Name))
	}
	s.stored[event.Name] = true
	return s.accepted(now, event), nil
}

func (s *sink) Patch(event *corev1.Event, _ []byte) (*corev1.Event, error) {
	now := s.asked("patch", event)
	switch {
	case s.chance(now.silent):
		return nil, s.answers("no_answer", silences(s.random))
	case s.chance(now.rejecting):
		return nil, s.answers("rejected", rejections(s.random))
	case !s.stored[event.Name] || s.chance(now.forgets):
		return nil, s.answers("not_found", apierrors.NewNotFound(resource, event.Name))
	}
	return s.accepted(now, event), nil
}

func (s *sink) Update(*corev1.Event) (*corev1.Event, error) { panic("the broadcaster does not update") }

func (s *sink) answers(outcome string, err error) error {
	s.note(happened{trigger: "answer", args: []any{object{"outcome": outcome}}})
	return err
}

func (s *sink) accepted(now mood, event *corev1.Event) *corev1.Event {
	answer := *event
	said := object{"outcome": "ok"}
	if s.chance(now.disagrees) {
		answer.Count = int32(s.IntN(5))
		said["count"] = answer.Count
	}
	s.note(happened{trigger: "answer", args: []any{said}})
	return &answer
}

var resource = schema.GroupResource{Resource: "events"}

func rejections(r *random) error {
	terminating := apierrors.NewForbidden(resource, "a", errors.New("namespace is terminating"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	return pick[error](r,
		apierrors.NewAlreadyExists(resource, "a"), terminating, apierrors.NewInternalError(errors.New("etcd")),
		apierrors.NewTooManyRequests("later", 1), apierrors.NewConflict(resource, "a", errors.New("modified")),
		apierrors.NewTimeoutError("timeout", 1), apierrors.NewServiceUnavailable("starting"),
		&rest.RequestConstructionError{Err: errors.New("no such host name")},
	)
}

func silences(r *random) error {
	return pick[error](r,
		errors.New("connection refused"), &url.Error{Op: "Post", URL: "http://server", Err: errors.New("i/o timeout")},
		&apierrors.UnexpectedObjectError{Object: &corev1.Event{}},
	)
}

// write turns the log into calls: what set the sink going at an instant, and what it did then.
func (s *sink) write(sleep time.Duration) {
	log := s.log
	for i := 0; i < len(log); {
		j := i
		for j < len(log) && log[j].at == log[i].at {
			j++
		}
		op, args, does := "wake", []any(nil), []any{}
		for _, h := range log[i:j] {
			switch {
			case h.trigger == "":
				does = append(does, h.step)
			case op != "wake":
				panic("two things at once")
			default:
				op, args = h.trigger, h.args
			}
		}
		answer := object{"do": does}
		if op == "answer" && len(does) == 0 {
			s.slept(log, i, j, sleep, args[0].(object), answer)
		}
		s.trace.now = log[i].at
		s.trace.call(op, args, answer)
		i = j
	}
}

// slept finds when the sink woke up by itself after the answer at log[i:j]; the first sleep of an event is drawn at random.
func (s *sink) slept(log []happened, i, j int, sleep time.Duration, said, answer object) {
	if said["outcome"] != "no_answer" {
		return
	}
	for k := j; k < len(log); k++ {
		if log[k].trigger == "record" {
			if k+1 < len(log) && log[k+1].at == log[k].at {
				return // that set it going: it had given up, and was idle
			}
			continue
		}
		delay := log[k].at - log[i].at
		answer["until"] = log[k].at
		if delay != int64(sleep) {
			said["slept_ns"] = delay
		}
		if delay < 0 || delay > int64(sleep) {
			panic("slept outside the documented interval")
		}
		return
	}
}
