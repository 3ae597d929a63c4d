package flowcontrol

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	api "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap"
	"k8s.io/apiserver/pkg/authentication/user"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/util/flowcontrol"
	fq "k8s.io/apiserver/pkg/util/flowcontrol/fairqueuing"
	"k8s.io/apiserver/pkg/util/flowcontrol/fairqueuing/eventclock"
	"k8s.io/apiserver/pkg/util/flowcontrol/fairqueuing/queueset"
	"k8s.io/apiserver/pkg/util/flowcontrol/metrics"
	fcrequest "k8s.io/apiserver/pkg/util/flowcontrol/request"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
)

// spy makes real queue sets and notes the limit that the controller gives each of them.
type spy struct {
	fq.QueueSetFactory
	lock   sync.Mutex
	limits map[string]int
}

type spyCompleter struct {
	fq.QueueSetCompleter
	spy  *spy
	name string
}

type spySet struct {
	fq.QueueSet
	spy *spy
}

func (s *spy) BeginConstruction(config fq.QueuingConfig, requests metrics.RatioedGaugePair, seats metrics.RatioedGauge, demand metrics.Gauge) (fq.QueueSetCompleter, error) {
	completer, err := s.QueueSetFactory.BeginConstruction(config, requests, seats, demand)
	return spyCompleter{completer, s, config.Name}, err
}

func (c spyCompleter) Complete(config fq.DispatchingConfig) fq.QueueSet {
	c.spy.lock.Lock()
	defer c.spy.lock.Unlock()
	c.spy.limits[c.name] = config.ConcurrencyLimit
	return spySet{c.QueueSetCompleter.Complete(config), c.spy}
}

func (s spySet) BeginConfigChange(config fq.QueuingConfig) (fq.QueueSetCompleter, error) {
	completer, err := s.QueueSet.BeginConfigChange(config)
	return spyCompleter{completer, s.spy, config.Name}, err
}

func (s *spy) told() map[string]int {
	s.lock.Lock()
	defer s.lock.Unlock()
	limits := map[string]int{}
	for name, limit := range s.limits {
		limits[name] = limit
	}
	return limits
}

// defaults are the levels and schemas of every cluster, their status as the controller wants it, so that it writes nothing.
func defaults() []runtime.Object {
	var objects []runtime.Object
	for _, level := range append(bootstrap.SuggestedPriorityLevelConfigurations, bootstrap.MandatoryPriorityLevelConfigurations...) {
		objects = append(objects, level.DeepCopy())
	}
	for _, schema := range append(bootstrap.SuggestedFlowSchemas, bootstrap.MandatoryFlowSchemas...) {
		schema = schema.DeepCopy()
		schema.Status.Conditions = []api.FlowSchemaCondition{{
			Type: api.FlowSchemaConditionDangling, Status: api.ConditionFalse, Reason: "Found",
			Message: fmt.Sprintf("This FlowSchema references the PriorityLevelConfiguration object named %q and it exists",
				schema.Spec.PriorityLevelConfiguration.Name),
		}}
		objects = append(objects, schema)
	}
	return objects
}

// client is somebody whose requests one schema matches.
type client struct {
	name, resource, group, namespace string
	groups                           []string
}

func clients() []client {
	accounts := []string{"system:serviceaccounts", "system:authenticated"}
	all := []client{
		{"admin", "pods", "", "a", []string{"system:masters", "system:authenticated"}},
		{"system:kube-scheduler", "leases", "coordination.k8s.io", "kube-system", []string{"system:authenticated"}},
		{"system:kube-controller-manager", "leases", "coordination.k8s.io", "kube-system", []string{"system:authenticated"}},
		{"alice", "pods", "", "a", []string{"system:authenticated"}},
		{"bob", "pods", "", "a", nil}, // in no group: catch-all
	}
	for i := range 6 {
		node := fmt.Sprintf("system:node:n%d", i)
		account := fmt.Sprintf("system:serviceaccount:ops:operator-%d", i)
		all = append(all,
			client{node, "nodes", "", "", []string{"system:nodes", "system:authenticated"}},
			client{node, "pods", "", "a", []string{"system:nodes", "system:authenticated"}},
			client{"system:kube-controller-manager", "pods", "", fmt.Sprintf("ns-%d", i), []string{"system:authenticated"}},
			client{account, "configmaps", "", "ops", accounts},
			client{account, "pods", "", "ops", accounts})
	}
	return all
}

func (c client) digest() flowcontrol.RequestDigest {
	info := &apirequest.RequestInfo{IsResourceRequest: c.resource != "", Verb: "update", Path: "/x", APIGroup: c.group,
		APIVersion: "v1", Resource: c.resource, Namespace: c.namespace, Name: "x"}
	return flowcontrol.RequestDigest{RequestInfo: info, User: &user.DefaultInfo{Name: c.name, Groups: c.groups}}
}

// day is a server and what happens to it.
type day struct {
	calls, total int
	pause        time.Duration
	calm         float64 // chance of a pause of up to a minute
}

func TestFlowControl(t *testing.T) {
	if *out == "" {
		t.Skip("no -out given")
	}
	days := []day{
		{3500, 60, 20 * time.Millisecond, 0.01},
		{4000, 100, 10 * time.Millisecond, 0.003},
		{3500, 33, 300 * time.Millisecond, 0.02},
	}
	for i, d := range days {
		record(t, "apiserver.flow_control", fmt.Sprintf("flow-control-%02d", i), uint64(2000+i), object{"total": d.total}, d.play)
	}
}

func (s day) play(r *trace) {
	objects := defaults()
	clientset := fake.NewClientset(objects...)
	factory := informers.NewSharedInformerFactory(clientset, 0)
	watcher := &spy{QueueSetFactory: queueset.NewQueueSetFactory(eventclock.Real{}), limits: map[string]int{}}
	control := flowcontrol.NewTestable(flowcontrol.TestableConfig{
		Name: "c", Clock: eventclock.Real{}, AsFieldManager: "c", FoundToDangling: func(found bool) bool { return !found },
		InformerFactory: factory, FlowcontrolClient: clientset.FlowcontrolV1(), ServerConcurrencyLimit: s.total,
		ReqsGaugeVec: noGauges{}, ExecSeatsGaugeVec: noGauges{}, QueueSetFactory: watcher,
	})
	stop := make(chan struct{})
	factory.Start(stop)
	factory.WaitForCacheSync(stop)
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // Retry-After counts whole seconds
	r.started = time.Now()
	r.every = int64(10 * time.Second)
	go control.Run(stop)
	time.Sleep(time.Second)
	synctest.Wait()
	r.call("limits", nil, object{"limits": watcher.told()})

	tracker := flowcontrol.NewDroppedRequestsTracker()
	d := &desk{trace: r, limit: func() int { return 1 << 20 }, rejected: func(g *guest) {
		tracker.RecordDroppedRequest(g.level)
		g.retry = tracker.GetRetryAfter(g.level)
	}}
	everybody := clients()
	busy, load := everybody, 0.5
	limits := int64(0)
	for r.calls < s.calls {
		if r.chance(0.6) {
			delay := r.spread(s.pause)
			if r.chance(s.calm) {
				delay = r.spread(time.Minute)
			}
			r.sleep(delay)
			if changed := d.told(nil); len(changed) > 0 {
				r.call("advance", nil, object{"changed": changed})
			}
			if period := r.now() / r.every; period > limits {
				limits = period
				r.call("limits", nil, object{"limits": watcher.told()})
			}
		}
		if r.chance(0.006) { // others are busy now
			load = pick(r, 0.2, 0.45, 0.55, 0.85, 0.98)
			busy = nil
			for range 1 + r.IntN(4) {
				busy = append(busy, everybody[r.IntN(len(everybody))])
			}
			switch roll := r.Float64(); {
			case roll < 0.3:
				busy = everybody
			case roll < 0.4:
				busy = everybody[4:5] // catch-all
			case roll < 0.5:
				busy = everybody[1:2] // one flow of leader-election: 4 queues of 50, and the seats
			}
		}
		executing := d.in("executing")
		if r.chance(load) {
			s.arrive(r, d, control, pick(r, busy...))
		} else if len(executing) > 0 {
			if g := pick(r, executing...); d.mayFinish(g) {
				d.finish(g)
				r.call("finish", []any{g.id}, object{"changed": d.told(nil)})
			}
		}
	}
	d.close()
	close(stop)
	synctest.Wait()
	time.Sleep(time.Minute)
}

func (s day) arrive(r *trace, d *desk, control flowcontrol.Interface, from client) {
	estimate := fcrequest.WorkEstimate{InitialSeats: 1}
	if r.chance(0.1) {
		estimate.InitialSeats = 1 + r.Uint64N(3)
	}
	if r.chance(0.1) { // never wider than the narrowest level, so that none is narrowed at a limit we do not know
		estimate.FinalSeats = 1
		estimate.AdditionalLatency = r.spread(100 * time.Millisecond)
	}
	wait := r.free(pick(r, 15*time.Second, r.spread(15*time.Second)))
	var level, schema, flow string
	handle := func(ctx context.Context, estimate fcrequest.WorkEstimate, note func(bool), execute func()) {
		control.Handle(ctx, from.digest(),
			func(fs *api.FlowSchema, pl *api.PriorityLevelConfiguration, distinguisher string) {
				level, schema, flow = pl.Name, fs.Name, distinguisher
				d.lock.Lock()
				defer d.lock.Unlock()
				d.guests[len(d.guests)-1].level = pl.Name
			},
			func() fcrequest.WorkEstimate { return estimate }, note, execute)
	}
	g := d.arrive(handle, estimate, wait)
	args := []any{g.id, level, schema, flow, estimate.InitialSeats, estimate.FinalSeats, int64(estimate.AdditionalLatency), int64(wait)}
	r.call("arrive", args, object{"state": g.state, "retry_after_seconds": g.retry, "changed": d.told(g)})
}

func TestVersion(t *testing.T) {
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), library+" "+version+"\n") {
		t.Fatalf("go.mod does not require %s %s", library, version)
	}
}
