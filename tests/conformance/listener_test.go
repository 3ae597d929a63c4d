package conformance

import (
	"context"
	"fmt"
	"math/rand"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/features"
	featuretesting "k8s.io/client-go/features/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

func TestRecordInformer(t *testing.T) {
	if *out == "" {
		t.Skip("no -out given")
	}
	quiet(t)
	featuretesting.SetFeatureDuringTest(t, features.WatchListClient, false)
	seed := func(of int) uint64 {
		rand.Seed(int64(of) + int64(*shift)) //nolint:staticcheck // what the library draws decides when it lists again
		return uint64(of)
	}
	for i, c := range []struct {
		fifo   string
		resync time.Duration
		early  []time.Duration // what the listeners that are there at the start ask for; -1: the informer's period
	}{
		{"real", 0, []time.Duration{-1, time.Minute}},
		{"real", 10 * time.Minute, []time.Duration{-1, 0, 25 * time.Minute}},
		{"real", time.Hour, []time.Duration{7 * time.Minute, -1, 3*time.Minute + 20*time.Second, 10 * time.Minute}},
		{"real", 30 * time.Second, []time.Duration{1, 0, 5 * time.Second, 2500 * time.Millisecond}},
		{"delta", 5 * time.Minute, []time.Duration{-1, 0, 12 * time.Minute}},
		{"delta", 0, []time.Duration{-1}},
	} {
		name := fmt.Sprintf("%s-%02d", c.fifo, i)
		t.Run(name, func(t *testing.T) {
			featuretesting.SetFeatureDuringTest(t, features.InOrderInformers, c.fifo == "real")
			config := object{"fifo": c.fifo, "resync_ns": int64(c.resync)}
			record(t, "cache.shared_informer", clientGo, "informer-"+name, seed(1100+i), config, func(r *trace) {
				s := newInformerScript(r, c.resync)
				for _, period := range c.early {
					s.addListener(period)
				}
				s.run(1700)
			})
		})
	}
	for i := range 5 {
		name := fmt.Sprintf("listener-%02d", i)
		t.Run(name, func(t *testing.T) {
			record(t, "cache.listener", clientGo, name, seed(1150+i), object{}, func(r *trace) { listenerScript(r, i) })
		})
	}
}

// told is one notification, and when it was.
type told struct {
	at   int64
	what []any
}

// informerScript is the server of a shared informer, and the script that lets listeners come and go.
type informerScript struct {
	*trace
	informer  cache.SharedIndexInformer
	check     int64
	pool      []*corev1.Pod
	held      map[string]*corev1.Pod // what the server has
	revision  int
	open      *stream
	list      *corev1.PodList // the answer to the next list
	listeners map[string]cache.ResourceEventHandlerRegistration
	names     []string
	counter   int
	lock      sync.Mutex // handlers run side by side
	heard     map[string][]told
	nextFire  int64
	listedAt  int64
}

func newInformerScript(r *trace, resync time.Duration) *informerScript {
	s := &informerScript{
		trace: r, pool: pods(r.random, 12), held: map[string]*corev1.Pod{}, revision: 10, list: &corev1.PodList{},
		listeners: map[string]cache.ResourceEventHandlerRegistration{}, heard: map[string][]told{},
	}
	s.informer = cache.NewSharedIndexInformer(s, &corev1.Pod{}, resync, nil)
	return s
}

func (s *informerScript) List(metav1.ListOptions) (runtime.Object, error) {
	s.listedAt = int64(time.Since(s.started))
	return s.list, nil
}

func (s *informerScript) Watch(metav1.ListOptions) (watch.Interface, error) {
	s.open = &stream{events: make(chan watch.Event)}
	return s.open, nil
}

func (s *informerScript) run(calls int) {
	ctx, cancel := context.WithCancel(klog.NewContext(context.Background(), logr.Discard()))
	s.check = reflect.ValueOf(s.informer).Elem().FieldByName("resyncCheckPeriod").Int()
	s.call("check_period", nil, object{"ns": s.check})
	s.did("start", nil, nil)
	s.fill()
	go s.informer.RunWithContext(ctx)
	synctest.Wait()
	s.listed()
	for s.calls < calls {
		s.rest()
		switch roll := s.Float64(); {
		case roll < 0.015 && len(s.names) < 6:
			s.addListener(pick(s.random, -1, 0, 1, 30*time.Second, 8*time.Minute, 2*time.Hour))
		case roll < 0.025 && len(s.names) > 1:
			s.removeListener()
		case roll < 0.06:
			s.relist()
		default:
			s.change()
		}
	}
	cancel()
	synctest.Wait()
}

// rest lets time pass; what the resync timer sets off meanwhile is written as ticks of its own.
func (s *informerScript) rest() {
	pause := s.pause(3 * time.Hour)
	if s.check > 0 {
		pause = min(pause, time.Duration(3*s.check)+1)
	}
	if s.nextFire > 0 {
		for at := s.nextFire; at <= s.now+int64(pause)+1; at += s.check {
			s.busy[at] = true
		}
	}
	s.sleep(pause)
	s.ticks()
}

// ticks writes what was told since the last call.
func (s *informerScript) ticks() {
	for {
		first := int64(-1)
		for _, heard := range s.heard {
			if len(heard) > 0 && (first < 0 || heard[0].at < first) {
				first = heard[0].at
			}
		}
		if first < 0 {
			break
		}
		all := object{}
		for name, heard := range s.heard {
			group := [][]any{}
			for len(heard) > 0 && heard[0].at == first {
				group, heard = append(group, heard[0].what), heard[1:]
			}
			s.heard[name] = heard
			if len(group) > 0 {
				all[name] = byKey(group)
			}
		}
		s.calls++
		if err := s.encoder.Encode(line{first, "tick", nil, object{"told": all}}); err != nil {
			panic(err)
		}
	}
	for s.check > 0 && s.nextFire > 0 && s.nextFire <= s.now {
		s.nextFire += s.check
	}
}

func byKey(group [][]any) [][]any {
	slices.SortStableFunc(group, func(a, b []any) int { return strings.Compare(a[1].(string), b[1].(string)) })
	return group
}

// did writes one call and what each listener was told; sorted may reorder what went through a map.
func (s *informerScript) did(op string, args []any, sorted func([][]any) [][]any) {
	synctest.Wait()
	all := object{}
	for name, heard := range s.heard {
		group := [][]any{}
		for _, told := range heard {
			if told.at != s.now {
				panic("told at another time")
			}
			group = append(group, told.what)
		}
		if sorted != nil {
			group = sorted(group)
		}
		if len(group) > 0 {
			all[name] = group
		}
		delete(s.heard, name)
	}
	s.call(op, args, object{"told": all})
}

func (s *informerScript) addListener(period time.Duration) {
	name := fmt.Sprintf("l%d", s.counter)
	s.counter++
	hear := func(kind string, pod *corev1.Pod, old string, initial bool) {
		what := []any{kind, must(cache.MetaNamespaceKeyFunc(pod)), pod.ResourceVersion, old, initial}
		s.lock.Lock()
		defer s.lock.Unlock()
		s.heard[name] = append(s.heard[name], told{int64(time.Since(s.started)), what})
	}
	handler := cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(obj any, initial bool) { hear("added", obj.(*corev1.Pod), "", initial) },
		UpdateFunc: func(old, obj any) {
			hear("modified", obj.(*corev1.Pod), old.(*corev1.Pod).ResourceVersion, false)
		},
		DeleteFunc: func(obj any) {
			if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				hear("tombstone", tombstone.Obj.(*corev1.Pod), "", false)
				return
			}
			hear("deleted", obj.(*corev1.Pod), "", false)
		},
	}
	var asked any
	var registration cache.ResourceEventHandlerRegistration
	if period < 0 {
		registration = must(s.informer.AddEventHandler(handler))
	} else {
		asked = int64(period)
		registration = must(s.informer.AddEventHandlerWithResyncPeriod(handler, period))
	}
	s.listeners[name] = registration
	s.names = append(s.names, name)
	s.did("add_listener", []any{name, asked}, byKey)
}

func (s *informerScript) removeListener() {
	i := s.IntN(len(s.names))
	name := s.names[i]
	check(s.informer.RemoveEventHandler(s.listeners[name]))
	s.names = slices.Delete(s.names, i, i+1)
	delete(s.listeners, name)
	s.did("remove_listener", []any{name}, nil)
}

// fill sets what the next list will answer: most of what the server has, some of it newer, and some more.
func (s *informerScript) fill() {
	s.revision++
	s.list = &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(s.revision)}}
	for _, pod := range s.pool {
		key := must(cache.MetaNamespaceKeyFunc(pod))
		held := s.held[key]
		switch {
		case held != nil && s.chance(0.2):
			delete(s.held, key)
		case held != nil && s.chance(0.6) || held == nil && s.chance(0.5):
		default:
			s.held[key] = s.touched(pod)
		}
		if held = s.held[key]; held != nil {
			s.list.Items = append(s.list.Items, *held)
		}
	}
}

func (s *informerScript) touched(pod *corev1.Pod) *corev1.Pod {
	s.revision++
	return newPod(pod.Namespace, pod.Name, strconv.Itoa(s.revision))
}

func (s *informerScript) listed() {
	content := []object{}
	for _, pod := range s.list.Items {
		content = append(content, written(&pod))
	}
	if s.check > 0 {
		s.nextFire = s.now + s.check
	}
	s.did("list", []any{content}, goneByKey)
}

// goneByKey sorts deletions that follow each other: those of a relist come out of a map.
func goneByKey(group [][]any) [][]any {
	for start, end := 0, 0; start < len(group); start = end + 1 {
		for end = start; end < len(group) && (group[end][0] == "deleted" || group[end][0] == "tombstone"); end++ {
		}
		byKey(group[start:end])
	}
	return group
}

// relist breaks the watch with a 410; the reflector lists again after its backoff.
func (s *informerScript) relist() {
	s.fill()
	s.open.events <- watch.Event{Type: watch.Error, Object: &apierrors.NewResourceExpired("too old").ErrStatus}
	s.nextFire = 0
	s.did("broken", nil, nil)
	for broken := s.open; s.open == broken; { // until it has listed and watches again
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
	}
	s.now = s.listedAt
	s.listed()
	s.now = int64(time.Since(s.started))
}

func (s *informerScript) change() {
	pod := pick(s.random, s.pool...)
	key := must(cache.MetaNamespaceKeyFunc(pod))
	held := s.held[key]
	kind := watch.Modified
	switch {
	case held == nil && s.chance(0.1):
		kind = watch.Deleted // of what nobody knows: the real FIFO tells it, the delta FIFO does not
	case held == nil:
		kind = watch.Added
	case s.chance(0.3):
		kind = watch.Deleted
	}
	next := s.touched(pod)
	if kind == watch.Modified && s.chance(0.05) {
		next = held // the same version once more
	}
	if kind == watch.Deleted {
		delete(s.held, key)
	} else {
		s.held[key] = next
	}
	s.open.events <- watch.Event{Type: kind, Object: next}
	s.did("event", []any{strings.ToLower(string(kind)), written(next)}, nil)
}

// listenerScript offers notifications to a handler that takes its time, in bursts that make its ring grow.
func listenerScript(r *trace, which int) {
	s := newInformerScript(r, 0)
	done := []int64{}
	registration := must(s.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{UpdateFunc: func(_, obj any) {
		cost := must(strconv.ParseInt(obj.(*corev1.Pod).Annotations["cost"], 10, 64))
		time.Sleep(time.Duration(cost))
		done = append(done, int64(time.Since(r.started)))
	}}))
	ring := reflect.ValueOf(registration).Elem().FieldByName("pendingNotifications")
	ctx, cancel := context.WithCancel(klog.NewContext(context.Background(), logr.Discard()))
	pod := newPod("ns", "a", "1")
	s.list.Items = []corev1.Pod{*pod}
	go s.informer.RunWithContext(ctx)
	synctest.Wait()
	burst, calls := 0, 1200
	if which == 0 {
		burst = 3000 // twice beyond the initial ring
	}
	ready := int64(0)
	for i := range calls + burst {
		if i >= burst {
			pause := pick(r.random, 0, 0, r.pause(time.Minute), r.spread(1, 10*time.Millisecond))
			if which == 0 && r.chance(0.1) {
				pause = 5 * time.Second
			}
			r.sleep(pause)
		}
		cost := int64(r.spread(1, pick(r.random, time.Microsecond, time.Millisecond, 20*time.Millisecond)))
		if r.chance(0.2) {
			cost = 0
		}
		for start := max(r.now, ready); ; start++ { // never done at an instant at which something else is offered
			if !r.busy[start+cost] || cost == 0 {
				ready = start + cost
				break
			}
			cost++
		}
		r.due(time.Duration(ready - r.now))
		next := s.touched(pod)
		next.Annotations = map[string]string{"cost": strconv.FormatInt(cost, 10)}
		s.open.events <- watch.Event{Type: watch.Modified, Object: next}
		synctest.Wait()
		r.call("offer", []any{cost}, object{
			"ring": ring.FieldByName("readable").Int(), "capacity": ring.FieldByName("n").Int(),
		})
	}
	r.sleep(time.Hour)
	for i := range done {
		if i%3 == 0 {
			r.call("handled", []any{i}, object{"at_ns": done[i]})
		}
	}
	cancel()
	synctest.Wait()
}
