package origin

import (
	"bytes"
	"encoding/json"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/dag/episode"
)

// What lies at the origin may be anything: it is a manifest that is compared by
// its version, or an error, and never a preview that came from nowhere.
func FuzzManifest(f *testing.F) {
	m := Manifest{Schema: ManifestSchema, ID: "e", Version: episode.Version{Revision: 2, Generation: 1}, Preview: &episode.Preview{Manifest: ManifestName("e")}}
	whole, err := json.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add(bytes.Replace(whole, []byte(`"preview":{`), []byte(`"removed":true,"preview":{"renditions":null,`), 1))
	f.Add([]byte(`{"schema":"earshot.preview/2"}`))
	f.Add([]byte(strings.Repeat("[", 20_000)))
	f.Fuzz(func(t *testing.T, b []byte) {
		there, err := parse(b)
		result, fault := compare(b, m, whole)
		switch {
		case bytes.Equal(b, whole):
		case (err == nil) != (fault == nil):
			t.Errorf("read with %v, compared with %v", err, fault)
		case err != nil:
			return
		case (result == Overtaken) == m.supersedes(there):
			t.Errorf("%+v over %+v: %s", m, there, result)
		}
		if again, err := json.Marshal(there); err != nil {
			t.Error(err)
		} else if _, err := parse(again); err != nil {
			t.Errorf("%s: %v", again, err)
		}
		if there.Preview != nil && there.check(nil) == nil {
			t.Errorf("%+v would be published without objects", there)
		}
	})
}

// A takedown deletes what the ledger names: objects, and nothing else that is in
// the bucket.
func FuzzLedger(f *testing.F) {
	f.Add([]byte(`["` + ObjectName(strings.Repeat("ab", 32), "ogg") + `"]`))
	f.Add([]byte(`["previews/another/manifest.json", "../x", ""]`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{"objects":["` + ObjectName(strings.Repeat("ab", 32), "ogg") + `"],"cleared":true}`))
	f.Add([]byte(`{"objects":[{"name":"` + ObjectName(strings.Repeat("ab", 32), "m4a") + `","revision":5},null],"withdrawn":6,"purged":true}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := parseLedger(b)
		if err != nil {
			return
		}
		if !slices.IsSorted(l.names()) {
			t.Errorf("%q are not in order", l.names())
		}
		for _, name := range l.names() {
			hash, extension, _ := strings.Cut(path.Base(name), ".")
			if len(hash) != 64 || strings.Trim(hash, "0123456789abcdef") != "" || ObjectName(hash, extension) != name {
				t.Errorf("%q is no object's name", name)
			}
		}
	})
}
