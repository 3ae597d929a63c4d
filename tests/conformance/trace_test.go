package conformance

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// header is the first line of a golden trace; see "Golden traces" in the design.
type header struct {
	Format    int    `json:"format"`
	Mechanism string `json:"mechanism"`
	Library   string `json:"library"`
	Version   string `json:"version"`
	Seed      uint64 `json:"seed"`
	Config    any    `json:"config"`
	MadeBy    string `json:"made_by"`
}

// line is one call and what the library answered.
type line struct {
	At   int64  `json:"at"`
	Op   string `json:"op"`
	Args []any  `json:"args,omitempty"`
	Out  object `json:"out,omitempty"`
}

type object = map[string]any

// trace writes one file and keeps the time: `at` counts from its creation, inside the synctest bubble.
type trace struct {
	*random
	started time.Time
	now     int64
	busy    map[int64]bool // instants at which a timer of the library is due: we never act there
	every   int64          // and a period whose multiples are busy too (0: none)
	encoder *json.Encoder
	calls   int
}

// record runs `script` in a bubble of virtual time and writes what it records to out/mechanism/name.jsonl.
func record(t *testing.T, mechanism, library, name string, seed uint64, config object, script func(*trace)) {
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
	buffer := bufio.NewWriter(file)
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(header{1, mechanism, library, version(t, library), seed, config, madeBy()}); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		script(&trace{random: newRandom(seed), started: time.Now(), busy: map[int64]bool{}, encoder: encoder})
	})
	if err := buffer.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

// call writes one call at the current instant, after everything it set off has come to rest.
func (r *trace) call(op string, args []any, answer object) {
	r.calls++
	if err := r.encoder.Encode(line{r.now, op, args, answer}); err != nil {
		panic(err)
	}
}

// due notes that a timer of the library will fire after `delay`.
func (r *trace) due(delay time.Duration) {
	if delay > 0 && int64(delay) < 1<<62 {
		r.busy[r.now+int64(delay)] = true
	}
}

// sleep lets at least `delay` pass, a little more where it would end at an instant at which a timer is due: who is first
// then is up to the Go scheduler.
func (r *trace) sleep(delay time.Duration) {
	at := r.now + int64(delay)
	for at > r.now && (r.busy[at] || r.every > 0 && at%r.every == 0) {
		at++
	}
	time.Sleep(time.Duration(at - r.now))
	synctest.Wait()
	r.now = at
	if since := int64(time.Since(r.started)); since != at {
		panic("the clock of the bubble and the trace disagree")
	}
}

// version of a module that this test is built with: what go.mod requires.
func version(t *testing.T, module string) string {
	text, err := os.ReadFile(*modfile)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == module {
			return fields[1]
		}
	}
	t.Fatalf("%s does not require %s", *modfile, module)
	return ""
}
