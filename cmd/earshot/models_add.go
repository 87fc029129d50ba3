package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/public"
)

func newModelsAdd(a *app) *cobra.Command {
	var o addition
	var sums []string
	c := &cobra.Command{
		Use:   "add DIR|ARCHIVE|URL|NAME",
		Short: "Add a model: a folder, an archive of one, or a public model by the name of its ready manifest",
		Long: `Add a model to a folder of models, checked whole before it is in place.

DIR is a model's folder, ARCHIVE a .tar, .tar.gz or .zip of one, URL an archive's
address (https, http, gs, s3); of what comes from elsewhere the sha256 must be
given: --sha256 HEX.

NAME is one of the public models that Earshot has a ready manifest for ('models
add' without more lists them). Its files come from the hub that the configuration
names (models.hub, or --hub ADDRESS: files are asked for at
ADDRESS/REPOSITORY/resolve/REVISION/PATH), or from --from: a folder, an archive
(a Python wheel is one) or an address that has them. Where the ready manifest
does not know a file's sha256, give the one that the publisher states:
--sha256 FILE=HEX. Nothing that is fetched is trusted without one.`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, from []string) error {
			if len(from) == 0 {
				return a.listPublic()
			}
			var err error
			if o.sums, err = parseSums(sums); err != nil {
				return exit(exitUsage, err)
			}
			if o.maxBytes < 1 {
				return exit(exitUsage, fmt.Errorf("--max-bytes %d: want 1 or more", o.maxBytes))
			}
			return a.addModel(cmd.Context(), from[0], o)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&sums, "sha256", nil, "HEX of the archive, or FILE=HEX of a public model's file; may be repeated")
	f.StringVar(&o.into, "into", "", "the folder of models (default: models below the state folder, which every command looks in)")
	f.Int64Var(&o.maxBytes, "max-bytes", 4<<30, "bound on what is fetched, and on what it is unpacked")
	f.StringVar(&o.from, "from", "", "for NAME: a folder, an archive or an address that has the files")
	f.StringVar(&o.hub, "hub", "", "for NAME: the model hub's address (default: models.hub of the configuration)")
	return c
}

// addition is how to add a model.
type addition struct {
	sums            map[string]string // by file; "" is the archive
	into, from, hub string
	maxBytes        int64
}

var hexSum = regexp.MustCompile(`^[0-9a-f]{64}$`)

func parseSums(given []string) (map[string]string, error) {
	sums := map[string]string{}
	for _, s := range given {
		file, sum, named := strings.Cut(s, "=")
		if !named {
			file, sum = "", s
		}
		if sum = strings.ToLower(sum); !hexSum.MatchString(sum) {
			return nil, fmt.Errorf("--sha256 %q: want 64 hexadecimal digits, or FILE= and 64 hexadecimal digits", s)
		}
		sums[file] = sum
	}
	return sums, nil
}

// addModel fetches, checks and puts a model in place.
func (a *app) addModel(ctx context.Context, from string, o addition) (err error) {
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	into := o.into
	if into == "" {
		if into, err = a.addedModels(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(into, 0o755); err != nil {
		return err
	}
	// Beside its place, so that a rename puts it there whole; one level deeper
	// than catalogs look.
	if err := sweepKilled(into); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(into, addingPrefix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	s := &adding{addition: o, config: cfg, tmp: tmp, left: o.maxBytes}
	var folder string
	if _, statErr := os.Stat(from); statErr != nil && !strings.Contains(from, "://") {
		folder, err = s.public(ctx, from)
	} else {
		folder, err = s.whole(ctx, from)
	}
	if err != nil {
		err = fmt.Errorf("models add %s: %w", shown(from), err)
		if errors.Is(err, models.ErrArchive) || errors.Is(err, fs.ErrNotExist) {
			err = exit(exitUsage, err)
		}
		return err
	}
	m, err := models.Load(models.Dir(folder))
	if err != nil {
		return exit(exitUsage, fmt.Errorf("models add %s: %w", shown(from), err))
	}
	if _, err := familyOf(m.Manifest.Task, m); err != nil {
		return exit(exitUsage, fmt.Errorf("models add %s: %w", shown(from), err))
	}
	place := filepath.Join(into, m.Manifest.Name)
	if _, err := os.Lstat(place); err == nil {
		return exit(exitUsage, fmt.Errorf("models add %s: %s is there already: remove it, or name another folder with --into", shown(from), place))
	}
	if err := os.Rename(folder, place); err != nil {
		return err
	}
	if a.format == "json" {
		return a.json(listed(m))
	}
	fmt.Fprintf(a.out, "%s: added to %s (%s, family %s, %s, licence %s)\n", m.Manifest.Ref(), place, m.Manifest.Task, m.Manifest.Family, strings.Join(m.Precisions(), " and "), m.Manifest.Licence)
	fmt.Fprintf(a.out, "check it: earshot models verify --models %s\nuse it:   earshot enrich --models %s FILE, or graph.nodes.%s.model: %s\n", place, place, m.Manifest.Task, m.Manifest.Name)
	return nil
}

const addingPrefix = ".adding-"

// sweepKilled removes what adds that were killed have left: those that began a
// day ago, since none takes as long.
func sweepKilled(into string) error {
	left, err := filepath.Glob(filepath.Join(into, addingPrefix+"*"))
	if err != nil {
		return err
	}
	for _, folder := range left {
		info, err := os.Lstat(folder)
		if err != nil || time.Since(info.ModTime()) < 24*time.Hour {
			continue // another add's, under way or just done
		}
		if err := os.RemoveAll(folder); err != nil {
			return err
		}
	}
	return nil
}

// adding is one model on its way.
type adding struct {
	addition
	config config
	tmp    string
	left   int64 // bytes that may still be fetched or copied
}

// whole brings a model's folder from a folder, an archive or an address.
func (s *adding) whole(ctx context.Context, from string) (string, error) {
	folder := filepath.Join(s.tmp, "model")
	if err := os.Mkdir(folder, 0o755); err != nil {
		return "", err
	}
	for _, f := range slices.Sorted(maps.Keys(s.sums)) {
		if f != "" {
			return "", exit(exitUsage, fmt.Errorf("--sha256 %s=…: files are named for a public model alone; a model's own manifest has its files' hashes", f))
		}
	}
	if s.from != "" {
		return "", exit(exitUsage, fmt.Errorf("--from %s: it is for a public model's name alone (%s)", shown(s.from), strings.Join(public.Names(), ", ")))
	}
	archive := from
	if strings.Contains(from, "://") {
		if s.sums[""] == "" {
			return "", exit(exitUsage, errors.New("--sha256 HEX is missing: what comes from an address is not taken without the hash that whoever published it states"))
		}
		archive = filepath.Join(s.tmp, "archive")
		if err := s.fetch(ctx, from, archive, s.sums[""]); err != nil {
			return "", err
		}
	} else if info, err := os.Stat(from); err != nil {
		return "", err
	} else if info.IsDir() && s.sums[""] != "" {
		return "", exit(exitUsage, errors.New("--sha256: a folder has none; its files are checked against its "+models.ManifestFile))
	} else if info.IsDir() {
		return folder, s.copyFolder(from, folder)
	} else if ext := filepath.Ext(from); ext == ".onnx" || ext == filepath.Ext(models.ManifestFile) {
		return "", exit(exitUsage, fmt.Errorf("it is a file of a model: name the folder with its %s (docs/models.md says how to write one)", models.ManifestFile))
	} else if want := s.sums[""]; want != "" {
		if err := checkSum(from, want); err != nil {
			return "", err
		}
	}
	if err := models.Unpack(archive, folder, s.maxBytes); err != nil {
		return "", err
	}
	return modelFolder(folder)
}

// modelFolder is the folder itself, or the only one in it.
func modelFolder(folder string) (string, error) {
	if _, err := os.Stat(filepath.Join(folder, models.ManifestFile)); err == nil {
		return folder, nil
	}
	found, err := filepath.Glob(filepath.Join(folder, "*", models.ManifestFile))
	if err != nil || len(found) != 1 {
		return "", errors.Join(err, fmt.Errorf("the archive has %d folders with a %s, and is to have one", len(found), models.ManifestFile))
	}
	return filepath.Dir(found[0]), nil
}

// copyFolder copies a model's manifest, its files and its card; nothing else
// that may lie beside them.
func (s *adding) copyFolder(from, to string) error {
	b, err := os.ReadFile(filepath.Join(from, models.ManifestFile))
	if err != nil {
		return fmt.Errorf("no model is there (docs/models.md says how to write a %s): %w", models.ManifestFile, err)
	}
	m, err := models.Load(models.Dir(from))
	if err != nil {
		return exit(exitUsage, err)
	}
	if err := os.WriteFile(filepath.Join(to, models.ManifestFile), b, 0o644); err != nil {
		return err
	}
	for name := range m.Manifest.Files {
		if err := s.copyFile(filepath.Join(from, filepath.FromSlash(name)), filepath.Join(to, filepath.FromSlash(name))); err != nil {
			return err
		}
	}
	err = s.copyFile(filepath.Join(from, "README.md"), filepath.Join(to, "README.md"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a card is not mandatory
	}
	return err
}

func (s *adding) copyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if s.left -= info.Size(); s.left < 0 {
		return fmt.Errorf("more than %d bytes (--max-bytes)", s.maxBytes)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return copyFile(from, to)
}

func checkSum(file, want string) error {
	got, err := fileSum(file)
	if err == nil && got != want {
		err = fmt.Errorf("%s has sha256 %s, and %s is expected", filepath.Base(file), got, want)
	}
	return err
}

func fileSum(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// shown is an address without what may be secret in it. A model's path is not.
func shown(from string) string {
	if strings.Contains(from, "://") {
		return episode.Redact(from)
	}
	return from
}
