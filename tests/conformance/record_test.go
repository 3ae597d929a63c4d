// Package conformance records what the real client-go, x/time/rate and controller-runtime answer, call by call.
//
// Each script is drawn from a seed, runs in a synctest bubble (so that time is virtual although the libraries read the wall
// clock), and is written as a golden trace. See README.md for the one command that makes them all again.
package conformance

import (
	"flag"
	"testing"
)

// madeBy is the command that makes the traces again; earlier releases have a module file of their own.
func madeBy() string {
	if *modfile == "go.mod" {
		return "go test -C tests/conformance -count=1 . -args -out ../../data/golden"
	}
	return "go test -C tests/conformance -modfile=" + *modfile + " -count=1 -run TestRecord/priority . -args -module " + *modfile +
		" -out ../../data/golden"
}

const (
	clientGo          = "k8s.io/client-go"
	apimachinery      = "k8s.io/apimachinery"
	xTime             = "golang.org/x/time"
	controllerRuntime = "sigs.k8s.io/controller-runtime"
)

var (
	out     = flag.String("out", "", "folder for the traces, one subfolder a mechanism; empty: record nothing")
	modfile = flag.String("module", "go.mod", "the module file that this was built with: its versions go into the headers")
	shift   = flag.Uint64("seed", 0, "added to the seed of every script: other traces of the same kind")
)

func TestRecord(t *testing.T) {
	if *out == "" {
		t.Skip("no -out given")
	}
	t.Run("ratelimit", recordBuckets)
	t.Run("limiters", recordLimiters)
	t.Run("queues", recordQueues)
	t.Run("priority", recordPriorityQueues)
	t.Run("cache", recordCaches)
	t.Run("events", recordCorrelators)
	t.Run("wait", recordBackoffs)
}
