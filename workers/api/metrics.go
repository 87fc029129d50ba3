package api

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	watches  prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	return &metrics{
		requests: f.NewCounterVec(prometheus.CounterOpts{
			Name: "earshot_api_requests_total", Help: "Calls of the API, by how they ended.",
		}, []string{"method", "code"}),
		seconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "earshot_api_request_seconds", Help: "Time from a call's headers to the end of its answer. Streams are left out.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}, []string{"method"}),
		watches: f.NewGauge(prometheus.GaugeOpts{
			Name: "earshot_api_watches", Help: "Watch streams that are open.",
		}),
	}
}
