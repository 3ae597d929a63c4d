package conformance

import (
	"math"
	"sync"

	"k8s.io/client-go/util/workqueue"
)

// metrics is a provider that keeps the one value of each metric that a scrape would read.
type metrics struct {
	mutex                      sync.Mutex
	depth, adds, retries       int
	unfinished, longestRunning float64
}

type counter struct {
	metrics *metrics
	value   *int
}

func (c counter) Inc() { c.add(1) }
func (c counter) Dec() { c.add(-1) }
func (c counter) add(n int) {
	c.metrics.mutex.Lock()
	defer c.metrics.mutex.Unlock()
	*c.value += n
}

type gauge struct {
	metrics *metrics
	value   *float64
}

func (g gauge) Set(value float64) {
	g.metrics.mutex.Lock()
	defer g.metrics.mutex.Unlock()
	*g.value = value
}

type histogram struct{}

func (histogram) Observe(float64) {}

func (m *metrics) NewDepthMetric(string) workqueue.GaugeMetric            { return counter{m, &m.depth} }
func (m *metrics) NewAddsMetric(string) workqueue.CounterMetric           { return counter{m, &m.adds} }
func (m *metrics) NewRetriesMetric(string) workqueue.CounterMetric        { return counter{m, &m.retries} }
func (m *metrics) NewLatencyMetric(string) workqueue.HistogramMetric      { return histogram{} }
func (m *metrics) NewWorkDurationMetric(string) workqueue.HistogramMetric { return histogram{} }
func (m *metrics) NewUnfinishedWorkSecondsMetric(string) workqueue.SettableGaugeMetric {
	return gauge{m, &m.unfinished}
}
func (m *metrics) NewLongestRunningProcessorSecondsMetric(string) workqueue.SettableGaugeMetric {
	return gauge{m, &m.longestRunning}
}

// read is what a scrape would see; extra is what the harness itself put in the queue and took out again.
func (m *metrics) read(extraDepth, extraAdds int) object {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return object{
		"depth": m.depth - extraDepth, "adds": m.adds - extraAdds, "retries": m.retries,
		// The library sums ages in map order: the last bits differ from run to run, so they are rounded away.
		"unfinished_seconds": math.Round(m.unfinished*1e9) / 1e9, "longest_running_seconds": m.longestRunning,
	}
}
