package gpu

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// Profiles keeps profiles in a file, so that the next start need not measure.
// It is safe for concurrent use; of processes that share the file the last to
// write wins, and what it wipes out is measured again.
type Profiles struct {
	mu   sync.Mutex
	path string
	all  map[ProfileKey]Profile
}

// profilesSchema is the version of the file that this package reads.
const profilesSchema = "earshot.profiles/1"

type profilesFile struct {
	Schema   string    `json:"schema"`
	Profiles []Profile `json:"profiles"`
}

// OpenProfiles reads a file of profiles; one that is not there is empty. Without
// a path they are kept in memory alone.
func OpenProfiles(path string) (*Profiles, error) {
	p := &Profiles{path: path, all: map[ProfileKey]Profile{}}
	if path == "" {
		return p, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	var f profilesFile
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err == nil && f.Schema != profilesSchema {
		err = fmt.Errorf("schema %q: want %q", f.Schema, profilesSchema)
	}
	if err != nil {
		return nil, fmt.Errorf("gpu: profiles: %s: %w (remove the file: models are then measured again)", path, err)
	}
	for _, profile := range f.Profiles {
		p.all[profile.ProfileKey] = profile
	}
	return p, nil
}

// Get finds a profile.
func (p *Profiles) Get(k ProfileKey) (Profile, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found, ok := p.all[k]
	return found, ok
}

// Put keeps a profile.
func (p *Profiles) Put(profile Profile) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all[profile.ProfileKey] = profile
	if p.path == "" {
		return nil
	}
	f := profilesFile{Schema: profilesSchema}
	for _, one := range p.all {
		f.Profiles = append(f.Profiles, one)
	}
	slices.SortFunc(f.Profiles, func(a, b Profile) int {
		return cmp.Or(cmp.Compare(a.Model, b.Model), cmp.Compare(a.SHA256, b.SHA256), cmp.Compare(a.Device, b.Device), cmp.Compare(a.Build, b.Build))
	})
	b, err := json.MarshalIndent(f, "", " ")
	if err == nil {
		err = writeAtomically(p.path, append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("gpu: profiles: %w", err)
	}
	return nil
}

// writeAtomically replaces a file: whoever reads sees the old or the new one.
func writeAtomically(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
