package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/public"
)

func (a *app) listPublic() error {
	type ready struct {
		Name       string   `json:"name"`
		Repository string   `json:"repository,omitempty"`
		Package    string   `json:"package,omitempty"`
		Unknown    []string `json:"sha256_needed"`
		Note       string   `json:"note,omitempty"`
		Export     string   `json:"export,omitempty"`
	}
	var all []ready
	for _, name := range public.Names() {
		m, err := public.Get(name)
		if err != nil {
			return err
		}
		all = append(all, ready{name, m.Source.Repository, m.Source.Package, m.Missing(nil), m.Source.Note, m.Source.Export})
	}
	if a.format == "json" {
		return a.json(all)
	}
	fmt.Fprintln(a.out, "ready manifests:")
	for _, r := range all {
		fmt.Fprintf(a.out, "  %-26s %s\n", r.Name, cmp.Or(r.Repository, "package "+r.Package))
	}
	return nil
}

// public brings the files of a ready manifest.
func (s *adding) public(ctx context.Context, name string) (string, error) {
	if strings.ContainsAny(name, `/\`) {
		return "", exit(exitUsage, errors.New("no such file or folder"))
	}
	m, err := public.Get(name)
	if err != nil {
		return "", exit(exitUsage, fmt.Errorf("no such file or folder, and %w", err))
	}
	local, isFolder, err := s.localSource(m)
	if err != nil {
		return "", err
	}
	delete(s.sums, "") // that of an archive
	// A folder's files are the user's own; what they hash to is printed in the
	// manifest that is made of them.
	if isFolder {
		for _, f := range m.Missing(s.sums) {
			sum, err := fileSum(localFile(local, m, f))
			if err != nil {
				return "", missingFile(m, err)
			}
			s.sums[f] = sum
		}
	}
	// It names files that the model does not have before those that have no hash.
	manifest, err := m.Manifest(s.sums)
	if err != nil {
		return "", exit(exitUsage, err)
	}
	base := cmp.Or(s.from, s.hubAddress(m))
	if missing := m.Missing(s.sums); len(missing) > 0 {
		return "", exit(exitUsage, unknownSums(m, missing, base))
	}
	if base == "" && m.Source.Repository == "" {
		return "", exit(exitUsage, fmt.Errorf("no hub has it: %s", cmp.Or(m.Source.Note, m.Source.Export)))
	}
	if base == "" {
		return "", exit(exitUsage, fmt.Errorf("no place to fetch it from: give --from (a folder, an archive or an address with its files), or --hub (or models.hub in the configuration) with the address of the hub that has the repository %s", m.Source.Repository))
	}
	folder := filepath.Join(s.tmp, "model")
	if err := os.Mkdir(folder, 0o755); err != nil {
		return "", err
	}
	for _, f := range slices.Sorted(maps.Keys(m.Files)) {
		sum := m.Files[f]
		if sum == public.Unknown {
			sum = s.sums[f]
		}
		to := filepath.Join(folder, filepath.FromSlash(f))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return "", err
		}
		if local != "" {
			if err := s.copyFile(localFile(local, m, f), to); err != nil {
				return "", missingFile(m, err)
			}
			if err := checkSum(to, sum); err != nil {
				return "", err
			}
			continue
		}
		address, err := url.JoinPath(base, m.Source.Path(f))
		if err != nil {
			return "", exit(exitUsage, err)
		}
		if err := s.fetch(ctx, address, to, sum); err != nil {
			return "", err
		}
	}
	return folder, os.WriteFile(filepath.Join(folder, models.ManifestFile), manifest, 0o644)
}

// localSource is the folder on this machine that has a public model's files:
// --from itself, or the archive it names, unpacked; empty when they have to be
// fetched one by one.
func (s *adding) localSource(m *public.Model) (folder string, own bool, err error) {
	want := s.sums[""]
	var info fs.FileInfo
	if s.from != "" && !strings.Contains(s.from, "://") {
		if info, err = os.Stat(s.from); err != nil {
			return "", false, exit(exitUsage, fmt.Errorf("--from: %w", err))
		}
	}
	switch {
	case want != "" && (info == nil || info.IsDir()):
		return "", false, exit(exitUsage, fmt.Errorf("--sha256 %s: of which file? Give --sha256 FILE=HEX (it has %s)", want, strings.Join(slices.Sorted(maps.Keys(m.Files)), ", ")))
	case info == nil:
		return "", false, nil
	case info.IsDir():
		return s.from, true, nil
	case want != "":
		if err := checkSum(s.from, want); err != nil {
			return "", false, err
		}
	}
	unpacked := filepath.Join(s.tmp, "unpacked")
	if err := os.Mkdir(unpacked, 0o755); err != nil {
		return "", false, err
	}
	return unpacked, true, models.Unpack(s.from, unpacked, s.maxBytes)
}

// localFile is where a folder has a file: as it is published, or by its name in
// the manifest.
func localFile(folder string, m *public.Model, file string) string {
	published := filepath.Join(folder, filepath.FromSlash(m.Source.Path(file)))
	if _, err := os.Stat(published); err != nil {
		return filepath.Join(folder, filepath.FromSlash(file))
	}
	return published
}

func missingFile(m *public.Model, err error) error {
	if how := cmp.Or(m.Source.Export, m.Source.Note); how != "" {
		return fmt.Errorf("%w (%s)", err, how)
	}
	return err
}

// hubAddress is where the hub has a model's files.
func (s *adding) hubAddress(m *public.Model) string {
	hub := cmp.Or(s.hub, s.config.Models.Hub)
	if hub == "" || m.Source.Repository == "" {
		return ""
	}
	return strings.TrimRight(hub, "/") + "/" + m.Source.Repository + "/resolve/" + cmp.Or(m.Source.Revision, "main")
}

// unknownSums says what a user has to do: which hashes are needed, where their
// files are, and how it goes without.
func unknownSums(m *public.Model, missing []string, base string) error {
	var b strings.Builder
	if m.Source.Export != "" {
		fmt.Fprintf(&b, "its graph has to be made first. %s\nThen: earshot models add %s --from FOLDER\nOf an export of your own: put %s into the folder, with the ports\n  %s\nOf one that somebody publishes, ", m.Source.Export, m.Name, strings.Join(slices.Sorted(maps.Keys(m.Files)), " and "), m.Ports)
	}
	fmt.Fprintf(&b, "the sha256 of %d files is not known here; give what the publisher states (on each file's page in the repository %s, or in its Git LFS pointer):", len(missing), cmp.Or(m.Source.Repository, "of package "+m.Source.Package))
	for _, f := range missing {
		at := m.Source.Path(f)
		if base != "" {
			at = strings.TrimRight(base, "/") + "/" + at
		}
		fmt.Fprintf(&b, "\n  --sha256 %s=…   (%s)", f, at)
	}
	if m.Source.Export == "" {
		fmt.Fprintf(&b, "\nOr fetch the files into a folder yourself (compare what sha256sum says of each with the publisher's), and: earshot models add %s --from FOLDER", m.Name)
	}
	if m.Source.Note != "" {
		fmt.Fprintf(&b, "\n%s", m.Source.Note)
	}
	return errors.New(b.String())
}
