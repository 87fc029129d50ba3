package message

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/earshot-fm/earshot/dag/episode"
)

// What was written by a released version, in full and with the least that it
// needed, is still read as it was meant. Descriptors cannot tell that a field
// has come to be needed, or to mean something else. What full and record get with
// a later version is to be taken out again here for those before it.
func TestMessagesOfReleasedVersionsAreStillRead(t *testing.T) {
	least := episode.Event{ID: "x", Revision: 1, Enclosure: episode.Enclosure{URL: "https://example.org/a.mp3"}}
	first := full() // v1.1 added private and recipients
	first.Private, first.Control.Recipients = false, nil
	for version, published := range map[string]episode.Event{"v1.0": first, "v1.1": full()} {
		for name, want := range map[string]any{
			"published": published, "published-least": least,
			"removed": episode.Removal{ID: "3f6f", Revision: 7, Reason: "court order"}, "removed-least": episode.Removal{ID: "x", Revision: 1},
			"enriched": record(), "enriched-least": &episode.Record{Episode: episode.Episode{ID: "x", Revision: 1}},
		} {
			for _, e := range encodings {
				file := filepath.Join("testdata", version, fmt.Sprintf("%s.%s", name, e))
				b, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				var got any
				switch want.(type) {
				case episode.Event:
					got, err = DecodePublished(b, e)
				case episode.Removal:
					got, err = DecodeRemoved(b, e)
				default:
					got, _, err = DecodeEnriched(b, e)
				}
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%s: %+v, %v", file, got, err)
				}
			}
		}
	}
}
