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
	loads      *prometheus.GaugeVec
	lost       *prometheus.CounterVec
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
		loads: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "earshot_model_load_seconds", Help: "Time that it took to open a model's sessions on a device.",
		}, []string{"model", "device"}),
	}
}

// Stats sums a model's runs so far.
type Stats struct {
	Model     string // name@version
	Runs      int
	Items     int
	Ran       time.Duration // in runners' loops
	Inference time.Duration // of that, inside sessions
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

func (s *Scheduler) record(b *batch, items int, ran, inside time.Duration) {
	s.metrics.batchItems.WithLabelValues(b.line.ref).Observe(float64(items))
	s.metrics.ran.WithLabelValues(b.line.ref).Observe(ran.Seconds())
	s.metrics.inference.WithLabelValues(b.line.ref).Add(inside.Seconds())
	s.mu.Lock()
	defer s.mu.Unlock()
	b.line.stats.Runs++
	b.line.stats.Items += items
	b.line.stats.Ran += ran
	b.line.stats.Inference += inside
}
