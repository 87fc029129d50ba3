package bucket

import (
	"testing"

	"github.com/earshot-fm/earshot/dag/artifact/buckettest"
	"github.com/earshot-fm/earshot/workers/origin"
	"github.com/earshot-fm/earshot/workers/origin/origintest"
)

func TestConformanceOverTheRealProtocols(t *testing.T) {
	for scheme, serve := range buckettest.Stores {
		t.Run(scheme, func(t *testing.T) {
			origintest.Run(t, func(t *testing.T) origin.Store { return open(t, serve(t, nil)) })
		})
	}
}
