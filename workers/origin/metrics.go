package origin

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	changes *prometheus.CounterVec
	purges  *prometheus.CounterVec
	took    *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	return &metrics{
		changes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "earshot_origin_changes_total", Help: "Previews published and removed, by what came of it.",
		}, []string{"change", "result"}),
		purges: f.NewCounterVec(prometheus.CounterOpts{
			Name: "earshot_purges_total", Help: "Purges of CDNs by vendor, kind (refresh: a newer manifest; forget: a removal) and outcome.",
		}, []string{"vendor", "kind", "outcome"}),
		took: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "earshot_purge_seconds", Help: "Time until a CDN had accepted a purge or it was given up.",
			Buckets: prometheus.ExponentialBuckets(0.02, 2, 12),
		}, []string{"vendor"}),
	}
}

func (m *metrics) changed(change string, result Result, err error) {
	if err != nil {
		result = "failed"
	}
	m.changes.WithLabelValues(change, string(result)).Inc()
}

func (m *metrics) purged(vendor string, how Purge, took time.Duration, err error) {
	outcome := "accepted"
	if err != nil {
		outcome = "failed"
	}
	m.purges.WithLabelValues(vendor, how.String(), outcome).Inc()
	m.took.WithLabelValues(vendor).Observe(took.Seconds())
}
