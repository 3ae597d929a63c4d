package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
	"k8s.io/klog/v2"
)

// TestRecordRetry records RetryOnConflict: each try that failed, and how long it slept then.
func TestRecordRetry(t *testing.T) {
	if *out == "" || *modfile != "go.mod" {
		t.Skip("no -out given, or for another module file")
	}
	realJitter := jitterRand
	defer func() { jitterRand = realJitter }()
	for i, b := range []wait.Backoff{
		retry.DefaultRetry,
		retry.DefaultBackoff,
		{Steps: 1, Duration: time.Second, Factor: 2, Jitter: 0.5},
		{Steps: 0, Duration: time.Second, Factor: 2},
		{Steps: 12, Duration: time.Millisecond, Factor: 2.3, Jitter: 1, Cap: 3 * time.Second}, // sleeps, then gives up
		{Steps: 7, Duration: 3 * time.Millisecond, Jitter: 0.1},
		{Steps: 30, Duration: time.Microsecond, Factor: 1.37},
	} {
		recordRetry(t, i, b, 1700)
	}
}

func recordRetry(t *testing.T, i int, b wait.Backoff, calls int) {
	config := object{
		"steps": b.Steps, "duration_ns": int64(b.Duration), "factor": b.Factor, "jitter": b.Jitter, "cap_ns": int64(b.Cap),
	}
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "leases"}, "a", errors.New("the object has been modified"))
	record(t, "retry.on_conflict", clientGo, fmt.Sprintf("retry-%02d", i), uint64(1100+i), config, func(r *trace) {
		drawn := 0.0
		jitterRand = func() float64 {
			drawn = pick(r.random, 0, r.Float64(), r.Float64(), r.Float64(), 1-1.0/(1<<53))
			return drawn
		}
		for r.calls < calls {
			r.sleep(r.spread(1, time.Minute))
			began, failed := r.now, int64(-1) // when the last try failed
			tell := func(again bool) {
				if failed < 0 {
					return
				}
				delay := int64(time.Since(r.started)) - failed
				low, high := float64(b.Duration), (1+b.Jitter)*float64(b.Duration)
				if b.Factor == 1 && again && (float64(delay) < low || float64(delay) > high) {
					panic("slept outside the documented interval")
				}
				r.now = failed
				r.call("failed", []any{drawn}, object{"again": again, "delay_ns": delay})
				failed = -1
			}
			tries, end := 0, pick(r.random, 1, 2, 3, 1000, 1000, 1000)
			err := retry.RetryOnConflict(b, func() error {
				tries++
				if tries == 1 {
					r.now = began
					r.call("call", nil, object{"tries": true})
				}
				tell(true)
				time.Sleep(time.Duration(r.IntN(3)) * r.spread(1, time.Second))
				if tries >= end {
					return pick(r.random, nil, errors.New("another"))
				}
				failed = int64(time.Since(r.started))
				return conflict
			})
			if tries == 0 {
				r.call("call", nil, object{"tries": false}) // and no error, up to v0.36
			}
			if (failed >= 0) != (err == conflict) {
				panic("the conflict is returned when no try is left, and only then")
			}
			tell(false)
			r.now = int64(time.Since(r.started))
		}
	})
}

// TestRecordWithRetry records when a request of the real REST client is sent once more: its RoundTripper is scripted.
func TestRecordWithRetry(t *testing.T) {
	if *out == "" || *modfile != "go.mod" {
		t.Skip("no -out given, or for another module file")
	}
	klog.SetLogger(logr.Discard())
	for i := range 7 {
		name := fmt.Sprintf("with-retry-%02d", i)
		record(t, "rest.with_retry", clientGo, name, uint64(1200+i), object{}, func(r *trace) {
			withRetryScript(r, 1800)
		})
	}
}

func withRetryScript(r *trace, calls int) {
	w := &wire{trace: r}
	config := &rest.Config{Host: "http://server", QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}
	client := must(coordination.NewForConfigAndClient(config, &http.Client{Transport: w})).RESTClient()
	for r.calls < calls {
		r.sleep(r.spread(1, time.Minute))
		verb, mode := pick(r.random, "GET", "GET", "PUT", "POST", "PATCH", "DELETE"), pick(r.random, "do", "do", "do", "watch", "stream")
		streamed := r.chance(0.05)
		retries := pick(r.random, 10, 10, 10, 10, 3, 0)
		w.steady = r.chance(0.3)
		r.call("request", []any{object{"get": verb == "GET", "mode": mode, "streamed_body": streamed, "max_retries": retries}}, nil)
		request := client.Verb(verb).Resource("leases").Name("a").MaxRetries(retries)
		if streamed {
			request = request.Body(io.Reader(strings.NewReader("{}")))
		} else if verb != "GET" {
			request = request.Body([]byte("{}"))
		}
		empty := false
		switch mode {
		case "do":
			if r.chance(0.5) {
				request.Do(context.Background())
			} else {
				request.DoRaw(context.Background())
			}
		case "watch":
			if events, err := request.Watch(context.Background()); err == nil {
				empty = w.last["how"] != nil
				events.Stop()
			}
		case "stream":
			if body, err := request.Stream(context.Background()); err == nil {
				body.Close()
			}
		}
		w.tell(nil, empty)
		w.last = nil
		r.sleep(1)
	}
}

// wire answers what the script draws, and tells how long the client slept between an answer and the next request.
type wire struct {
	*trace
	at     int64
	last   object // the answer, or how it broke
	steady bool   // the same again
}

func (w *wire) tell(delay any, empty bool) {
	if w.last == nil {
		return
	}
	w.now = w.at
	if how, broke := w.last["how"]; broke {
		w.call("broke", []any{how}, object{"delay_ns": delay, "empty_watch": empty})
	} else {
		w.call("answered", []any{w.last["status"], w.last["retry_after"]}, object{"delay_ns": delay})
	}
	w.now = int64(time.Since(w.started))
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if w.last != nil {
		w.tell(int64(time.Since(w.started))-w.at, false)
	}
	time.Sleep(w.spread(1, 5*time.Second))
	if !w.steady || w.last == nil {
		w.last = w.draw()
	}
	w.at = int64(time.Since(w.started))
	if how, broke := w.last["how"]; broke {
		return nil, pick(w.random, failures[how.(string)]...)
	}
	answer := &http.Response{
		StatusCode: w.last["status"].(int), Request: req, Body: io.NopCloser(bytes.NewReader([]byte("{}"))),
		Header: http.Header{"Content-Type": []string{"application/json"}},
	}
	if after := w.last["retry_after"]; after != nil {
		answer.Header.Set("Retry-After", after.(string))
	}
	return answer, nil
}

func (w *wire) draw() object {
	if w.chance(0.4) {
		return object{"how": pick(w.random, "reset", "ended", "ended", "lost", "refused", "timeout", "other")}
	}
	status := pick(w.random, 200, 201, 404, 409, 422, 429, 429, 429, 499, 500, 500, 502, 503, 503, 504, 599)
	after := pick[any](w.random, nil, "0", "1", "1", "1", "2", "30", "007", "+3", "-4", "1.5", "x", "Fri, 31 Dec 1999 23:59:59 GMT")
	return object{"status": status, "retry_after": after}
}

type timedOut struct{}

func (timedOut) Error() string   { return "i/o timeout" }
func (timedOut) Timeout() bool   { return true }
func (timedOut) Temporary() bool { return true }

var failures = map[string][]error{
	"reset": {&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}},
	"ended": {
		io.EOF, io.ErrUnexpectedEOF, errors.New("http: can't write HTTP request on broken connection"),
		errors.New("http2: server sent GOAWAY and closed the connection; LastStreamID=7, ErrCode=NO_ERROR, debug=\"\""),
		&net.OpError{Op: "write", Err: net.ErrClosed},
	},
	"lost":    {errors.New("http2: client connection lost")},
	"refused": {&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}},
	"timeout": {&net.OpError{Op: "dial", Err: timedOut{}}},
	"other":   {errors.New("tls: bad certificate")},
}
