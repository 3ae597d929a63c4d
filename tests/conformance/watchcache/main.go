// Command watchcache records how the API server's watch cache answers, call by call.
//
// The types of k8s.io/apiserver/pkg/storage/cacher are private, so the recorder must be compiled as one of its tests: this
// command vendors the package into a temporary folder, puts recorder.go.txt beside it, and runs it there.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

func main() {
	out := flag.String("out", "", "folder for the traces, one subfolder a mechanism")
	seed := flag.Uint64("seed", 0, "added to the seed of every script: other traces of the same kind")
	work := flag.String("work", "", "folder to build in, kept for the next time (default: a temporary one)")
	flag.Parse()
	if err := record(*out, *seed, *work); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func record(out string, seed uint64, work string) error {
	if out == "" {
		return fmt.Errorf("no -out given")
	}
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	if work == "" {
		if work, err = os.MkdirTemp("", "watchcache"); err != nil {
			return err
		}
		defer os.RemoveAll(work)
	}
	const cacher = "vendor/k8s.io/apiserver/pkg/storage/cacher"
	for from, to := range map[string]string{"go.mod": "go.mod", "go.sum": "go.sum", "anchor.go": "anchor.go"} {
		if err := copyFile(from, filepath.Join(work, to)); err != nil {
			return err
		}
	}
	if err := run(work, "go", "mod", "vendor"); err != nil {
		return err
	}
	if err := copyFile("recorder.go.txt", filepath.Join(work, cacher, "recorder_test.go")); err != nil {
		return err
	}
	return run(work, "go", "test", "-p", "1", "-mod=vendor", "-count=1", "-timeout", "5m", "-run", "TestRecord",
		"k8s.io/apiserver/pkg/storage/cacher", "-args", "-out", out, "-seed", fmt.Sprint(seed))
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o644)
}

func run(folder, name string, arguments ...string) error {
	command := exec.Command(name, arguments...)
	command.Dir, command.Stdout, command.Stderr = folder, os.Stdout, os.Stderr
	return command.Run()
}
