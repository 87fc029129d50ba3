package ort

import (
	"testing"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/pack"
)

// What batches an item travels in must not show in its result, or records
// would differ from run to run.
func TestTheBuiltInModelsPassVerification(t *testing.T) {
	catalog, err := models.LoadCatalog(pack.Files())
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(catalog.All()) == 0 {
		t.Fatal("the pack is empty")
	}
	for _, m := range catalog.All() {
		v, err := models.Verify(t.Context(), r, m, "cpu")
		if err != nil || len(v.Faults) > 0 {
			t.Errorf("%s: %v, %v", m.Manifest.Ref(), v.Faults, err)
		}
	}
}
