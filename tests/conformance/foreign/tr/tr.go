// Package tr writes golden traces: a header line, then one line a call.
package tr

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

type M = map[string]any

type header struct {
	Format    int    `json:"format"`
	Mechanism string `json:"mechanism"`
	Library   string `json:"library"`
	Version   string `json:"version"`
	Seed      uint64 `json:"seed"`
	Config    M      `json:"config"`
	MadeBy    string `json:"made_by"`
}

type line struct {
	At   int64  `json:"at"`
	Op   string `json:"op"`
	Args []any  `json:"args"`
	Out  M      `json:"out"`
}

// Trace is one run of one library object, inside a synctest bubble.
type Trace struct {
	*rand.Rand
	w     *bufio.Writer
	e     *json.Encoder
	start time.Time
	T     *testing.T
}

func (t *Trace) Now() int64 { return int64(time.Since(t.start)) }

// Call notes one call with what came back.
func (t *Trace) Call(op string, args []any, out M) {
	if args == nil {
		args = []any{}
	}
	if out == nil {
		out = M{}
	}
	if err := t.e.Encode(line{t.Now(), op, args, out}); err != nil {
		panic(err)
	}
}

// Sleep lets d pass and everything that is due happen.
func (t *Trace) Sleep(d time.Duration) {
	if d > 0 {
		time.Sleep(d)
	}
	synctest.Wait()
}

// Gap is a random pause: mostly none, sometimes ns, ms, s, hours, or to a multiple of 500 ms.
func (t *Trace) Gap() time.Duration {
	switch n := t.IntN(100); {
	case n < 45:
		return 0
	case n < 55:
		return time.Duration(1 + t.IntN(1000))
	case n < 72:
		return time.Duration(t.IntN(5_000_000))
	case n < 80:
		return time.Duration(1+t.IntN(20)) * 5 * time.Millisecond
	case n < 90:
		return time.Duration(t.IntN(400_000_000))
	case n < 93:
		return 500*time.Millisecond - time.Duration(t.Now()%int64(500*time.Millisecond))
	case n < 98:
		return time.Duration(t.Int64N(4_000_000_000))
	case n < 99:
		return time.Duration(t.Int64N(int64(2 * time.Minute)))
	}
	return time.Duration(t.Int64N(int64(3 * time.Hour)))
}

func (t *Trace) Chance(p int) bool { return t.IntN(100) < p }

func Pick[T any](t *Trace, xs ...T) T { return xs[t.IntN(len(xs))] }

func Ops() int { return EnvInt("OPS", 3000) }

func EnvInt(name string, other int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return other
}

// Run makes OUT/<mechanism>/foreign-<label>-<version>-<seed>.jsonl for each seed.
func Run(t *testing.T, mechanism, library, label string, config func(*rand.Rand) M, f func(*Trace, M)) {
	version := os.Getenv("VERSION")
	for seed := uint64(1); seed <= uint64(EnvInt("SEEDS", 3)); seed++ {
		r := rand.New(rand.NewPCG(seed, uint64(len(mechanism)*1000+len(label))))
		c := config(r)
		dir := filepath.Join(os.Getenv("OUT"), mechanism)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		file, err := os.Create(filepath.Join(dir, strings.Join([]string{"foreign", cmp.Or(label, "mixed"), version, fmt.Sprint(seed) + ".jsonl"}, "-")))
		if err != nil {
			t.Fatal(err)
		}
		w := bufio.NewWriter(file)
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.Encode(header{1, mechanism, library, version, seed, c, "sh tests/conformance/foreign/record.sh"})
		synctest.Test(t, func(t *testing.T) {
			f(&Trace{Rand: r, w: w, e: e, start: time.Now(), T: t}, c)
		})
		w.Flush()
		file.Close()
	}
}

// Rich says whether to write what the format does not ask for but a recorder may well note: the priority of a key
// that was handed out, a priority of null, null for what a skipped event does not have.
func Rich() bool { return os.Getenv("RICH") != "" }

// Keys to draw from: degenerate ones too.
var Keys = []string{"ns/a", "ns/b", "ns/c", "d", "", "ns/", "/x", "ns/é", "kube-system/coredns-76f75df574-abcde", "a/b/c"}
