package cachefifo

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"sort"
	"testing"
	"time"

	"foreign/tr"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
)

const lib = "k8s.io/client-go"

type obj struct {
	NS   string `json:"ns"`
	Name string `json:"name"`
	UID  string `json:"uid"`
	RV   string `json:"rv"`
}

func (o obj) real() *v1.Pod {
	return &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: o.NS, Name: o.Name, UID: types.UID(o.UID), ResourceVersion: o.RV}}
}

func back(x any) obj {
	p := x.(*v1.Pod)
	return obj{p.Namespace, p.Name, string(p.UID), p.ResourceVersion}
}

var rv = 100

func random(r *rand.Rand) obj {
	rv++
	o := obj{[]string{"ns", "default", ""}[r.IntN(3)], []string{"a", "b", "c", ""}[r.IntN(4)], fmt.Sprintf("u%d", r.IntN(5)), fmt.Sprint(rv)}
	if r.IntN(20) == 0 {
		o.RV = ""
	}
	return o
}

func TestKey(t *testing.T) {
	tr.Run(t, "cache.key", lib, "", func(r *rand.Rand) tr.M { return tr.M{} }, func(t *tr.Trace, c tr.M) {
		ns := []string{"", "ns", "default", "a/b", "é", " "}
		names := []string{"", "a", "b/c", "/", "x y", "名"}
		for range 200 {
			t.Sleep(t.Gap())
			o := obj{tr.Pick(t, ns...), tr.Pick(t, names...), tr.Pick(t, "", "u"), tr.Pick(t, "", "7")}
			k, err := cache.MetaNamespaceKeyFunc(o.real())
			if err != nil {
				panic(err)
			}
			t.Call("key", []any{o}, tr.M{"key": k})
		}
	})
}

func TestStore(t *testing.T) {
	tr.Run(t, "cache.store", lib, "", func(r *rand.Rand) tr.M { rv = 100; return tr.M{} }, func(t *tr.Trace, c tr.M) {
		s := cache.NewStore(cache.MetaNamespaceKeyFunc)
		for range tr.Ops() {
			t.Sleep(t.Gap())
			o := random(t.Rand)
			switch t.IntN(8) {
			case 0:
				s.Add(o.real())
				t.Call("add", []any{o}, nil)
			case 1:
				s.Update(o.real())
				t.Call("update", []any{o}, nil)
			case 2, 3:
				s.Delete(o.real())
				t.Call("delete", []any{o}, nil)
			case 4:
				if t.Chance(20) {
					os, rs := list(t)
					s.Replace(rs, "1")
					t.Call("replace", []any{os}, nil)
				}
			case 5, 6:
				k, _ := cache.MetaNamespaceKeyFunc(o.real())
				x, ok, _ := s.GetByKey(k)
				out := tr.M{"obj": nil}
				if ok {
					out["obj"] = back(x)
				}
				t.Call("get", []any{k}, out)
			case 7:
				ks := s.ListKeys()
				sort.Strings(ks)
				t.Call("list_keys", nil, tr.M{"keys": ks})
			}
		}
	})
}

func list(t *tr.Trace) ([]obj, []any) {
	os, rs := []obj{}, []any{}
	for range tr.Pick(t, 0, 1, 2, 4, 8) {
		o := random(t.Rand)
		os, rs = append(os, o), append(rs, o.real())
	}
	return os, rs
}

type fifo interface {
	Add(any) error
	Update(any) error
	Delete(any) error
	Replace([]any, string) error
	Resync() error
	HasSynced() bool
	Pop(cache.PopProcessFunc) (any, error)
}

// ordered is an indexer that lists its keys in the order in which they were first put.
type ordered struct {
	keys []string
	m    map[string]any
}

func (o *ordered) ListKeys() []string { return o.keys }
func (o *ordered) GetByKey(k string) (any, bool, error) {
	x, ok := o.m[k]
	return x, ok, nil
}
func (o *ordered) put(x any) {
	k, _ := cache.MetaNamespaceKeyFunc(x)
	if _, ok := o.m[k]; !ok {
		o.keys = append(o.keys, k)
	}
	o.m[k] = x
}

// sorted is a real Store whose keys are listed in order.
type sorted struct{ cache.Store }

func (s sorted) ListKeys() []string {
	ks := s.Store.ListKeys()
	sort.Strings(ks)
	return ks
}

func size(f fifo) int {
	v := reflect.ValueOf(f).Elem()
	if q := v.FieldByName("queue"); q.IsValid() {
		return q.Len()
	}
	return v.FieldByName("items").Len()
}

func TestFIFO(t *testing.T) {
	for _, mech := range []string{"cache.delta_fifo", "cache.real_fifo"} {
		if mech == "cache.real_fifo" && newReal(&ordered{}) == nil {
			continue
		}
		// ordered: deterministic order of the known keys; store: a real Store, with Go's map order; live: what is popped goes into it.
		for _, kind := range []string{"", "sorted", "store", "live", "livesorted", "first"} {
			kind := kind
			tr.Run(t, mech, lib, kind, func(r *rand.Rand) tr.M {
				rv = 100
				known := []obj{}
				for range []int{0, 2, 5, 9}[r.IntN(4)] {
					known = append(known, random(r))
				}
				return tr.M{"known": known, "emit_replaced": r.IntN(2) == 0}
			}, func(t *tr.Trace, c tr.M) {
				o := &ordered{m: map[string]any{}}
				s := cache.NewStore(cache.DeletionHandlingMetaNamespaceKeyFunc)
				for _, x := range c["known"].([]obj) {
					o.put(x.real())
					s.Add(x.real())
				}
				var known cache.KeyListerGetter = o
				switch kind {
				case "store", "live":
					known = s
				case "livesorted":
					known = sorted{s}
				case "sorted":
					sort.Strings(o.keys)
				}
				var f fifo
				if mech == "cache.real_fifo" {
					f = newReal(known)
				} else {
					f = cache.NewDeltaFIFOWithOptions(cache.DeltaFIFOOptions{KeyFunction: cache.MetaNamespaceKeyFunc, KnownObjects: known,
						EmitDeltaTypeReplaced: c["emit_replaced"].(bool)})
				}
				var live cache.Store
				if kind == "live" {
					live = s
				}
				if kind == "livesorted" {
					live = s
				}
				if kind == "first" {
					os, rs := list(t)
					f.Replace(rs, "1")
					t.Call("replace", []any{os}, tr.M{"len": size(f)})
				}
				driveFIFO(t, f, live)
			})
		}
	}
}

func driveFIFO(t *tr.Trace, f fifo, live cache.Store) {
	call := func(op string, args []any, out tr.M) {
		if out == nil {
			out = tr.M{}
		}
		out["len"] = size(f)
		t.Call(op, args, out)
	}
	for range tr.Ops() {
		t.Sleep(t.Gap())
		o := random(t.Rand)
		switch n := t.IntN(100); {
		case n < 15:
			f.Add(o.real())
			call("add", []any{o}, nil)
		case n < 30:
			f.Update(o.real())
			call("update", []any{o}, nil)
		case n < 48:
			f.Delete(o.real())
			call("delete", []any{o}, nil)
		case n < 51:
			os, rs := list(t)
			f.Replace(rs, "1")
			call("replace", []any{os}, nil)
		case n < 54:
			f.Resync()
			call("resync", nil, nil)
		case n < 90:
			if size(f) == 0 {
				call("pop", nil, tr.M{"key": nil})
				continue
			}
			var key string
			ds := []any{}
			f.Pop(func(x any, initial bool) error {
				for _, d := range x.(cache.Deltas) {
					o, del := d.Object, false
					if tomb, ok := o.(cache.DeletedFinalStateUnknown); ok {
						key, o, del = tomb.Key, tomb.Obj, true
						if inner, ok := o.(cache.DeletedFinalStateUnknown); ok {
							o = inner.Obj
						}
					} else {
						key, _ = cache.MetaNamespaceKeyFunc(o)
					}
					_ = del
					var v any
					if o != nil {
						v = back(o).RV
					}
					ds = append(ds, tr.M{"type": string(d.Type), "rv": v})
					if live != nil {
						if d.Type == cache.Deleted {
							live.Delete(d.Object)
						} else {
							live.Update(d.Object)
						}
					}
				}
				return nil
			})
			call("pop", nil, tr.M{"key": key, "deltas": ds})
		default:
			call("has_synced", nil, tr.M{"ok": f.HasSynced()})
		}
	}
}

func TestEvents(t *testing.T) {
	for _, label := range []string{"distinct", "few", "default", "random"} {
		label := label
		tr.Run(t, "events.correlator", lib, label, func(r *rand.Rand) tr.M {
			if label == "default" {
				return tr.M{}
			}
			few := 1
			if label == "few" {
				few = 0
			}
			return tr.M{"lru_cache_size": []int{4096, 3, 10}[r.IntN(3)], "burst_size": []int{25, 3, 1000}[r.IntN(3)], "qps": []float64{1. / 300, 1, 0.1}[r.IntN(3)],
				"max_events": []int{10, 3, 2}[r.IntN(3)*few], "max_interval_in_seconds": []int{600, 5}[r.IntN(2)]}
		}, func(t *tr.Trace, c tr.M) {
			opts := record.CorrelatorOptions{}
			if label != "default" {
				opts = record.CorrelatorOptions{LRUCacheSize: c["lru_cache_size"].(int), BurstSize: c["burst_size"].(int), QPS: float32(c["qps"].(float64)),
					MaxEvents: c["max_events"].(int), MaxIntervalInSeconds: c["max_interval_in_seconds"].(int)}
			}
			ec := record.NewEventCorrelatorWithOptions(opts)
			for i := range tr.Ops() {
				t.Sleep(t.Gap())
				a := struct {
					Source  string `json:"source"`
					Kind    string `json:"kind"`
					NS      string `json:"ns"`
					Name    string `json:"name"`
					Reason  string `json:"reason"`
					Message string `json:"message"`
					Type    string `json:"type"`
				}{tr.Pick(t, "kubelet", "sched"), "Pod", "ns", tr.Pick(t, "a", "b", "c"), tr.Pick(t, "Failed", "Pulled"), "", tr.Pick(t, "Warning", "Normal", "Normal")}
				// unlike messages only, so that the library's random choice (PopAny) cannot matter
				a.Message = fmt.Sprintf("m%d", i)
				switch label {
				case "few", "default": // so few that none is ever forgotten
					a.Message = tr.Pick(t, "x", "y", "z", "w", "v", "u", "t", "s", "r")
				case "random": // one of them is forgotten at random
					a.Message = tr.Pick(t, "x", "y", "z", "w", "v", "u", "t", "s", "r", "q", "p", "o")
				}
				now := metav1.NewTime(time.Now())
				ev := &v1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: a.NS, Name: fmt.Sprintf("%s.%x", a.Name, now.UnixNano())},
					InvolvedObject: v1.ObjectReference{Kind: a.Kind, Namespace: a.NS, Name: a.Name}, Reason: a.Reason, Message: a.Message,
					Type: a.Type, Source: v1.EventSource{Component: a.Source}, Count: 1, FirstTimestamp: now, LastTimestamp: now}
				res, err := ec.EventCorrelate(ev)
				if err != nil {
					panic(err)
				}
				out := tr.M{"skip": res.Skip}
				if tr.Rich() {
					out["count"], out["message"] = nil, nil
				}
				if !res.Skip {
					out["count"], out["message"] = res.Event.Count, res.Event.Message
				}
				t.Call("correlate", []any{a}, out)
			}
		})
	}
}

func TestBackoff(t *testing.T) {
	tr.Run(t, "wait.backoff", "k8s.io/apimachinery", "", func(r *rand.Rand) tr.M {
		return tr.M{"duration_ns": []int64{10e6, 800e6, 1, 1e9, 0, 333}[r.IntN(6)], "factor": []float64{2, 0, 1.5, 5, 0.5, 1, 3.1}[r.IntN(7)],
			"steps": []int{0, 1, 4, 10, 100, -1}[r.IntN(6)], "cap_ns": []int64{0, 30e9, 1e9, 5}[r.IntN(4)]}
	}, func(t *tr.Trace, c tr.M) {
		initial := wait.Backoff{Duration: time.Duration(c["duration_ns"].(int64)), Factor: c["factor"].(float64), Steps: c["steps"].(int), Cap: time.Duration(c["cap_ns"].(int64))}
		b := initial
		for range 400 {
			t.Sleep(t.Gap())
			if t.Chance(2) {
				b = initial
				t.Call("reset", nil, nil)
			} else {
				t.Call("step", nil, tr.M{"delay_ns": int64(b.Step())})
			}
		}
	})
}
