// Package flowcontrol records what the real API Priority and Fairness answers, call by call. See README.md.
package flowcontrol

import (
	"bufio"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

const (
	library = "k8s.io/apiserver"
	madeBy  = "go test -C tests/conformance/flowcontrol -count=1 . -args -out ../../../data/golden"
)

var (
	out   = flag.String("out", "", "folder for the traces, one subfolder a mechanism; empty: record nothing")
	shift = flag.Uint64("seed", 0, "added to the seed of every script: other traces of the same kind")
	// What go.mod requires; TestVersion holds it to that.
	version = "v0.35.0"
)

type object = map[string]any

type header struct {
	Format    int    `json:"format"`
	Mechanism string `json:"mechanism"`
	Library   string `json:"library"`
	Version   string `json:"version"`
	Seed      uint64 `json:"seed"`
	Config    any    `json:"config"`
	MadeBy    string `json:"made_by"`
}

type line struct {
	At   int64  `json:"at"`
	Op   string `json:"op"`
	Args []any  `json:"args,omitempty"`
	Out  object `json:"out,omitempty"`
}

// trace writes one file and keeps the time: `at` counts from `started`, inside the synctest bubble.
type trace struct {
	*rand.Rand
	t       *testing.T
	started time.Time
	busy    map[int64]bool // instants at which a timer of the library is due: we never act there
	every   int64          // and a period whose multiples are busy too (0: none)
	encoder *json.Encoder
	calls   int
}

// record runs `script` in a bubble of virtual time and writes what it records to out/mechanism/name.jsonl.
func record(t *testing.T, mechanism, name string, seed uint64, config object, script func(*trace)) {
	t.Helper()
	seed += *shift
	folder := filepath.Join(*out, mechanism)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(folder, name+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	buffer := bufio.NewWriter(file)
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(header{1, mechanism, library, version, seed, config, madeBy}); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		source := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
		script(&trace{Rand: source, t: t, started: time.Now(), busy: map[int64]bool{}, encoder: encoder})
	})
	if err := buffer.Flush(); err != nil {
		t.Fatal(err)
	}
}

func (r *trace) now() int64 { return int64(time.Since(r.started)) }

// call writes one call at the current instant.
func (r *trace) call(op string, args []any, answer object) {
	r.calls++
	if err := r.encoder.Encode(line{r.now(), op, args, answer}); err != nil {
		panic(err)
	}
}

func (r *trace) isBusy(at int64) bool { return r.busy[at] || r.every > 0 && at%r.every == 0 }

// due notes that a timer of the library will fire after `delay`, which must not be together with another.
func (r *trace) due(delay time.Duration) { r.busy[r.now()+int64(delay)] = true }

// free is `delay`, or a little more: an instant at which nothing else is due.
func (r *trace) free(delay time.Duration) time.Duration {
	for r.isBusy(r.now() + int64(delay)) {
		delay++
	}
	return delay
}

// sleep lets at least `delay` pass and stops where no timer is due: who is first then is up to the Go scheduler.
func (r *trace) sleep(delay time.Duration) {
	if delay > 0 {
		time.Sleep(r.free(delay))
	}
	synctest.Wait()
}

func (r *trace) chance(p float64) bool { return r.Float64() < p }

func pick[T any](r *trace, choices ...T) T { return choices[r.IntN(len(choices))] }

// spread is a duration up to `high`, uniform in its magnitude.
func (r *trace) spread(high time.Duration) time.Duration {
	for high > 16 && r.chance(0.5) {
		high /= 4
	}
	return 1 + time.Duration(r.Int64N(int64(high)))
}
