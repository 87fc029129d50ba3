package elastic

import (
	"testing"

	"github.com/earshot-fm/earshot/workers/index"
	"github.com/earshot-fm/earshot/workers/index/indextest"
)

func TestConformance(t *testing.T) {
	onNodes(t, func(t *testing.T, url string) {
		indextest.Run(t, func(t *testing.T) index.Index { return create(t, url) })
	})
}
