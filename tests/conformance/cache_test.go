package conformance

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// fifo is either of the two queues between reflector and store.
type fifo interface {
	Add(obj any) error
	Update(obj any) error
	Delete(obj any) error
	Replace(list []any, resourceVersion string) error
	Resync() error
	Pop(process cache.PopProcessFunc) (any, error)
	HasSynced() bool
}

// known is the indexer's content, in a fixed order where the real one lists at random.
type known []*corev1.Pod

func (k known) ListKeys() []string {
	var all []string
	for _, pod := range k {
		all = append(all, must(cache.MetaNamespaceKeyFunc(pod)))
	}
	return all
}

func (k known) GetByKey(key string) (any, bool, error) {
	for _, pod := range k {
		if must(cache.MetaNamespaceKeyFunc(pod)) == key {
			return pod, true, nil
		}
	}
	return nil, false, nil
}

func recordCaches(t *testing.T) {
	for i := range 4 {
		record(t, "cache.key", clientGo, fmt.Sprintf("key-%02d", i), uint64(700+i), object{}, func(r *trace) {
			for r.calls < 2500 {
				parts := []string{"", "a", "b", "default", "kube-system", "x/y", "/", "ü"}
				pod := newPod(pick(r.random, parts...), pick(r.random, parts...), r.version())
				r.call("key", []any{written(pod)}, object{"key": must(cache.MetaNamespaceKeyFunc(pod))})
			}
		})
		record(t, "cache.store", clientGo, fmt.Sprintf("store-%02d", i), uint64(720+i), object{}, storeScript)
	}
	for i := range 6 {
		pool := pods(newRandom(uint64(740+i)), 3+5*i)
		known := known(pool[:i])
		var content []object
		for _, pod := range known {
			content = append(content, written(pod))
		}
		if content == nil {
			content = []object{}
		}
		for _, emit := range []bool{false, true} {
			name := fmt.Sprintf("delta-fifo-%02d-%v", i, emit)
			config := object{"known": content, "emit_replaced": emit}
			record(t, "cache.delta_fifo", clientGo, name, uint64(760+i), config, func(r *trace) {
				q := cache.NewDeltaFIFOWithOptions(cache.DeltaFIFOOptions{KnownObjects: known, EmitDeltaTypeReplaced: emit})
				fifoScript(r, pool, q, reflect.ValueOf(q).Elem().FieldByName("queue"), 900)
			})
		}
		config := object{"known": content, "emit_replaced": true}
		record(t, "cache.real_fifo", clientGo, fmt.Sprintf("real-fifo-%02d", i), uint64(780+i), config, func(r *trace) {
			q := cache.NewRealFIFO(cache.MetaNamespaceKeyFunc, known, nil)
			fifoScript(r, pool, q, reflect.ValueOf(q).Elem().FieldByName("items"), 1800)
		})
	}
}

func storeScript(r *trace) {
	store := cache.NewStore(cache.MetaNamespaceKeyFunc)
	pool := pods(r.random, 12)
	for r.calls < 2600 {
		if r.chance(0.3) {
			r.sleep(r.pause(time.Hour))
		}
		pod := touched(r, pick(r.random, pool...))
		switch roll := r.Float64(); {
		case roll < 0.2:
			check(store.Add(pod))
			r.call("add", []any{written(pod)}, nil)
		case roll < 0.4:
			check(store.Update(pod))
			r.call("update", []any{written(pod)}, nil)
		case roll < 0.55:
			check(store.Delete(pod))
			r.call("delete", []any{written(pod)}, nil)
		case roll < 0.57:
			list, content := someOf(r, pool)
			check(store.Replace(list, r.version()))
			r.call("replace", []any{content}, nil)
		case roll < 0.85:
			key := must(cache.MetaNamespaceKeyFunc(pod))
			if found, exists, err := store.GetByKey(key); exists {
				check(err)
				r.call("get", []any{key}, object{"obj": written(found.(*corev1.Pod))})
			} else {
				r.call("get", []any{key}, object{"obj": nil})
			}
		default:
			all := store.ListKeys()
			slices.Sort(all)
			r.call("list_keys", nil, object{"keys": all})
		}
	}
}

// fifoScript plays watch, relists and resyncs against a consumer that lags more or less. length is the queue's own list.
func fifoScript(r *trace, pool []*corev1.Pod, q fifo, length reflect.Value, calls int) {
	answer := func(more object) object {
		if more == nil {
			more = object{}
		}
		more["len"] = length.Len()
		return more
	}
	pop := func() {
		popped := must(q.Pop(func(any, bool) error { return nil }))
		r.call("pop", nil, answer(tell(popped.(cache.Deltas))))
	}
	if r.chance(0.7) { // an informer starts with a list, and has synced when that has been popped
		list, content := someOf(r, pool)
		check(q.Replace(list, r.version()))
		r.call("replace", []any{content}, answer(nil))
		for length.Len() > 0 && r.chance(0.95) {
			pop()
			r.call("has_synced", nil, answer(object{"ok": q.HasSynced()}))
		}
	}
	lag := 0.45
	for r.calls < calls {
		if r.chance(0.3) {
			r.sleep(r.pause(time.Hour))
		}
		if r.chance(0.02) {
			lag = pick(r.random, 0.2, 0.45, 0.7)
		}
		pod := touched(r, pick(r.random, pool...))
		switch roll := r.Float64(); {
		case roll < 0.08:
			r.call("has_synced", nil, answer(object{"ok": q.HasSynced()}))
		case roll < lag:
			// PopBatch is there from client-go 0.35 on.
			if batches := reflect.ValueOf(q).MethodByName("PopBatch"); batches.IsValid() && length.Len() > 0 && r.chance(0.3) {
				var told []object
				process := func(batch []cache.Delta, _ bool) error {
					for _, delta := range batch {
						told = append(told, tell(cache.Deltas{delta}))
					}
					return nil
				}
				single := func(popped any, _ bool) error { return process(popped.(cache.Deltas), false) }
				arguments := []reflect.Value{reflect.ValueOf(process), reflect.ValueOf(single)}
				batches.Call(arguments[:batches.Type().NumIn()])
				r.call("pop_batch", nil, answer(object{"batch": told}))
			} else if length.Len() > 0 {
				pop()
			}
		case roll < lag+0.02:
			list, content := someOf(r, pool)
			check(q.Replace(list, r.version()))
			r.call("replace", []any{content}, answer(nil))
		case roll < lag+0.04:
			check(q.Resync())
			r.call("resync", nil, answer(nil))
		case roll < lag+0.15:
			check(q.Add(pod))
			r.call("add", []any{written(pod)}, answer(nil))
		case r.chance(0.6):
			check(q.Update(pod))
			r.call("update", []any{written(pod)}, answer(nil))
		default:
			check(q.Delete(pod))
			r.call("delete", []any{written(pod)}, answer(nil))
		}
	}
}

// tell is a popped list of deltas as the trace has it; a tombstone shows the version of the last state it carries.
func tell(deltas cache.Deltas) object {
	var list []object
	key := ""
	for _, delta := range deltas {
		rv := ""
		switch obj := delta.Object.(type) {
		case *corev1.Pod:
			key, rv = must(cache.MetaNamespaceKeyFunc(obj)), obj.ResourceVersion
		case cache.DeletedFinalStateUnknown:
			key = obj.Key
			if pod, ok := obj.Obj.(*corev1.Pod); ok {
				rv = pod.ResourceVersion
			} else if obj.Obj != nil {
				panic(fmt.Sprintf("a tombstone of %T", obj.Obj)) // would be a tombstone in a tombstone
			}
		}
		list = append(list, object{"type": delta.Type, "rv": rv})
	}
	return object{"key": key, "deltas": list}
}

// pods are n objects, degenerate ones first.
func pods(r *random, n int) []*corev1.Pod {
	all := []*corev1.Pod{newPod("", "", "1"), newPod("ns", "", "1"), newPod("", "a", "1"), newPod("ns", "a", "1")}
	for i := len(all); i < n; i++ {
		all = append(all, newPod("ns", fmt.Sprintf("p%d", i), "1"))
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:n:n]
}

func newPod(namespace, name, version string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name, UID: types.UID(strings.ToUpper(name)), ResourceVersion: version,
	}}
}

// touched is the pod at a newer version.
func touched(r *trace, pod *corev1.Pod) *corev1.Pod {
	return newPod(pod.Namespace, pod.Name, r.version())
}

// version is an arbitrary resource version.
func (r *random) version() string { return fmt.Sprint(2 + r.IntN(9998)) }

// someOf is what a list of the API server might hold: each pod or not.
func someOf(r *trace, pool []*corev1.Pod) ([]any, []object) {
	list, content := []any{}, []object{}
	for _, pod := range pool {
		if r.chance(0.6) {
			pod := touched(r, pod)
			list, content = append(list, pod), append(content, written(pod))
		}
	}
	return list, content
}

func written(pod *corev1.Pod) object {
	return object{"ns": pod.Namespace, "name": pod.Name, "uid": string(pod.UID), "rv": pod.ResourceVersion}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
