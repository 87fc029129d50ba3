package gpu

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

const (
	outcomeDone      = "done"
	outcomeFailed    = "failed"
	outcomeCancelled = "cancelled"

	splitFault  = "fault"
	splitMemory = "memory"
	splitStuck  = "stuck"

	evictedForRoom = "room"
	evictedUnused  = "unused"
	evictedAtClose = "close"
)

type metrics struct {
	batchItems *prometheus.HistogramVec
	waited     *prometheus.HistogramVec
	ran        *prometheus.HistogramVec
	inference  *prometheus.CounterVec
	items      *prometheus.CounterVec
	splits     *prometheus.CounterVec
	queued     *prometheus.GaugeVec
	leases     *prometheus.GaugeVec
	cost       *prometheus.CounterVec
	padding    *prometheus.CounterVec
	loads      *prometheus.HistogramVec
	evictions  *prometheus.CounterVec
	memory     *prometheus.CounterVec
	faults     *prometheus.CounterVec
	out        *prometheus.GaugeVec
	lost       *prometheus.CounterVec
	bytes      *prometheus.GaugeVec
	used       *prometheus.GaugeVec
	busy       *prometheus.GaugeVec
	celsius    *prometheus.GaugeVec
	watts      *prometheus.GaugeVec
	throttled  *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	return &metrics{
		batchItems: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "earshot_batch_items", Help: "Items in a model's runs; sum over count is the mean batch.",
			Buckets: []float64{1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64},
		}, []string{"model"}),
		waited: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "earshot_item_wait_seconds", Help: "Time from an item's arrival to its batch's start.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
		}, []string{"model", "priority"}),
		ran: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "earshot_batch_run_seconds", Help: "Duration of a runner's whole loop over one batch.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
		}, []string{"model"}),
		inference: f.NewCounterVec(prometheus.CounterOpts{
			Name: "earshot_inference_seconds_total", Help: "Time inside the model's sessions.",
		}, []string{"model"}),
		items: f.NewCounterVec(prometheus.CounterOpts{
			Name: "earshot_items_total", Help: "Items answered, by outcome: done, failed, cancelled.",
		}, []string{"model", "outcome"}),
		splits: f.NewCounterVec(prometheus.CounterOpts{
			Name: "earshot_batch_splits_total", Help: "Batches run again in halves, by reason: fault, memory, stuck.",
		}, []string{"model", "reason"}),
		queued: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "earshot_queued_items", Help: "Items that wait for a batch.",
		}, []string{"model", "priority"}),
		leases: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "earshot_leases", Help: "Batches that run on a device now.",
		}, []string{"device"}),
		lost: f.NewCounterVec(prometheus.CounterOpts{
			Name: "earshot_devices_lost_total", Help: "Devices that the process cannot use any more; it hands its work back and ends.",
		}, []string{"device"}),
		cost: f.NewCounterVec(prometheus.CounterOpts{
			Name: "earshot_batch_cost_total", Help: "Cost of the items that were run, padding included, in the model's unit (seconds of audio, tokens).",
		}, []string{"model"}),
		padding: f.NewCounterVec(prometheus.CounterOpts{
			Name: "earshot_batch_padding_total", Help: "Of earshot_batch_cost_total, what is padding.",
		}, []string{"model"}),
		loads: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "earshot_model_load_seconds", Help: "Time that it took to open a model's sessions on a device, by outcome: done, failed.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 14),
		}, []string{"model", "device", "outcome"}),
		evictions: f.NewCounterVec(prometheus.CounterOpts{
			Name: "earshot_evictions_total", Help: "Models closed on a device, by reason: room (for another), unused (no queue asks for it any more), close.",
		}, []string{"model", "device", "reason"}),
		memory: f.NewCounterVec(prometheus.CounterOpts{
			Name: "earshot_out_of_memory_total", Help: "Runs for which a device had no memory.",
		}, []string{"model", "device"}),
		faults: f.NewCounterVec(prometheus.CounterOpts{
			Name: "earshot_device_faults_total", Help: "Times that a device failed what it had done before.",
		}, []string{"device"}),
		out: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "earshot_device_left_out", Help: "1: the device failed again and again, and gets no work.",
		}, []string{"device"}),
		bytes: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "earshot_device_ledger_bytes", Help: "The ledger of a device's memory: total, reserve, foreign, weights, arenas, in_use (of arenas), left.",
		}, []string{"device", "what"}),
		used: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "earshot_device_used_bytes", Help: "Memory in use by whomever, as the device's driver (NVML) or the cgroup tells.",
		}, []string{"device"}),
		busy: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "earshot_device_busy_ratio", Help: "Share of the last moments in which the device worked.",
		}, []string{"device"}),
		celsius: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "earshot_device_celsius", Help: "Temperature of a GPU.",
		}, []string{"device"}),
		watts: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "earshot_device_watts", Help: "Power that a GPU draws.",
		}, []string{"device"}),
		throttled: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "earshot_device_throttled", Help: "1 while a GPU's clocks are held down, by reason.",
		}, []string{"device", "reason"}),
	}
}

// itemMetrics count one queue's items of one priority. They are found once: to
// find one by its labels takes longer than all else that is counted of an item.
type itemMetrics struct {
	queued prometheus.Gauge
	waited prometheus.Observer
	done   prometheus.Counter // of either priority
}

func (m *metrics) ofItems(model, priority string) itemMetrics {
	return itemMetrics{
		queued: m.queued.WithLabelValues(model, priority),
		waited: m.waited.WithLabelValues(model, priority),
		done:   m.items.WithLabelValues(model, outcomeDone),
	}
}

// ledgerGauges are a device's: they change with each batch, and are found once.
type ledgerGauges struct {
	total, reserve, foreign, weights, arenas, inUse, left prometheus.Gauge
}

func (m *metrics) ledgerOf(device string) ledgerGauges {
	of := func(what string) prometheus.Gauge { return m.bytes.WithLabelValues(device, what) }
	return ledgerGauges{of("total"), of("reserve"), of("foreign"), of("weights"), of("arenas"), of("in_use"), of("left")}
}

func (g *ledgerGauges) show(b Balance) {
	g.total.Set(float64(b.Total))
	g.reserve.Set(float64(b.Reserve))
	g.foreign.Set(float64(b.Foreign))
	g.weights.Set(float64(b.Weights))
	g.arenas.Set(float64(b.Arenas))
	g.inUse.Set(float64(b.InUse))
	g.left.Set(float64(b.Left))
}

// reading shows what a device told of itself.
func (m *metrics) reading(device string, r Reading) {
	m.used.WithLabelValues(device).Set(float64(r.UsedBytes))
	m.busy.WithLabelValues(device).Set(r.Busy)
	m.celsius.WithLabelValues(device).Set(float64(r.Celsius))
	m.watts.WithLabelValues(device).Set(r.Watts)
	m.throttled.DeletePartialMatch(prometheus.Labels{"device": device})
	for _, reason := range r.Throttled {
		m.throttled.WithLabelValues(device, reason).Set(1)
	}
}

// Stats sums a model's runs so far.
type Stats struct {
	Model     string // name@version
	Runs      int
	Items     int
	Ran       time.Duration // in runners' loops
	Inference time.Duration // of that, inside sessions
	Cost      float64       // of all items, in the model's unit
	Padding   float64       // of that
}

// MeanBatch is the items of a run on average.
func (s Stats) MeanBatch() float64 {
	if s.Runs == 0 {
		return 0
	}
	return float64(s.Items) / float64(s.Runs)
}

// Stats is one line for each queue that had a run, by model.
func (s *Scheduler) Stats() []Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Stats
	for _, q := range s.lines {
		if q.stats.Runs > 0 {
			out = append(out, q.stats)
		}
	}
	slices.SortStableFunc(out, func(a, b Stats) int { return strings.Compare(a.Model, b.Model) })
	return out
}

func (s *Scheduler) record(b *batch, items []*item, ran, inside time.Duration) {
	cost, length := 0.0, 0.0
	for _, it := range items {
		cost += it.cost
		length += it.length
	}
	s.metrics.batchItems.WithLabelValues(b.line.ref).Observe(float64(len(items)))
	s.metrics.ran.WithLabelValues(b.line.ref).Observe(ran.Seconds())
	s.metrics.inference.WithLabelValues(b.line.ref).Add(inside.Seconds())
	s.metrics.cost.WithLabelValues(b.line.ref).Add(cost)
	s.metrics.padding.WithLabelValues(b.line.ref).Add(max(0, cost-length))
	s.mu.Lock()
	defer s.mu.Unlock()
	b.line.stats.Runs++
	b.line.stats.Items += len(items)
	b.line.stats.Ran += ran
	b.line.stats.Inference += inside
	b.line.stats.Cost += cost
	b.line.stats.Padding += max(0, cost-length)
}
