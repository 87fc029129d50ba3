package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/audio/codec"
	"github.com/earshot-fm/earshot/audio/enclosure"
	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/enrich"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
	"github.com/earshot-fm/earshot/workers/message"
	"github.com/earshot-fm/earshot/workers/origin"
)

// The types here fit drivers to the graph's ports.

// fetching fits the enclosure fetcher to enrich.Fetcher.
type fetching struct {
	fetcher    *enclosure.Fetcher
	localFiles bool // file:// addresses are allowed
}

func (f fetching) Fetch(ctx context.Context, address, path string, progress func(done, total int64)) error {
	if u, err := url.Parse(address); err == nil && u.Scheme == "file" {
		if !f.localFiles {
			return dag.Reject("bad-url", fmt.Errorf("%s: local files are not taken from events, unless fetch.local_files is set (stream --local-files)", episode.Redact(address)))
		}
		file, err := f.fetcher.Local(ctx, u.Path)
		if err != nil {
			return classify(err)
		}
		progress(file.Bytes, file.Bytes)
		return copyFile(file.Path, path)
	}
	file, err := f.fetcher.Fetch(ctx, address, path)
	if err != nil {
		return classify(err)
	}
	progress(file.Bytes, file.Bytes)
	return nil
}

// documents fits the enclosure fetcher to enrich.Documents. Files of this
// machine are no publisher's documents, whatever the configuration allows for
// audio.
type documents struct {
	fetcher *enclosure.Fetcher
	scratch string
}

// maxDocument is the most that a document may have, as it comes and unpacked: a
// word a second for a day is less.
const maxDocument = 16 << 20

func (d documents) Read(ctx context.Context, address string) ([]byte, error) {
	f, err := os.CreateTemp(d.scratch, "document-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	if err := f.Close(); err != nil {
		return nil, err
	}
	file, err := d.fetcher.Fetch(ctx, address, f.Name())
	if err != nil {
		return nil, classify(err)
	}
	doc, err := os.ReadFile(f.Name())
	if err != nil {
		return nil, err
	}
	doc, err = enclosure.Decompress(doc, file.Encoding, maxDocument)
	return doc, classify(err)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}

// classify tells the engine which errors are permanent.
func classify(err error) error {
	if r, ok := errors.AsType[*audio.Rejection](err); ok {
		return dag.Reject(r.Code, err)
	}
	return err
}

// decoding fits the decoder to enrich.Audio.
type decoding struct{ *codec.Decoder }

func (d decoding) Decode(ctx context.Context, path string, tape *audio.Tape) (enrich.Heard, error) {
	r, err := d.Decoder.Decode(ctx, path, tape)
	if err != nil {
		return enrich.Heard{}, classify(err)
	}
	h := enrich.Heard{
		Format:     string(r.Format),
		SampleRate: r.SampleRate,
		Channels:   r.Channels,
		Duration:   episode.Seconds(r.Duration.Seconds()),
		Loudness: &episode.Loudness{
			IntegratedLUFS: episode.Decibels(r.Loudness.IntegratedLUFS),
			TruePeakDBTP:   episode.Decibels(r.Loudness.TruePeakDBTP),
		},
		Waveform: r.Waveform,
	}
	for _, v := range r.Loudness.ShortTermLUFS {
		h.ShortTerm = append(h.ShortTerm, episode.Decibels(v))
	}
	for _, w := range r.Warnings {
		h.Warnings = append(h.Warnings, episode.Warning{Code: w.Code, Detail: w.Detail})
	}
	return h, nil
}

// publishing fits the origin to enrich.Publisher.
type publishing struct{ origin *origin.Origin }

func (publishing) ObjectName(sha256, extension string) string {
	return origin.ObjectName(sha256, extension)
}
func (publishing) ManifestName(id episode.ID) string { return origin.ManifestName(id) }

// contentTypes of a preview's containers (RFC 5334, RFC 4337).
var contentTypes = map[string]string{"ogg": "audio/ogg", "m4a": "audio/mp4"}

func (p publishing) Publish(ctx context.Context, pub enrich.Publication) (bool, error) {
	r := pub.Record
	m := origin.Manifest{ID: r.Episode.ID, Version: r.Episode.Version(), Podcast: r.Episode.Podcast, Title: r.Episode.Title, Explicit: r.Episode.Explicit, Preview: r.Preview}
	if r.Language != nil {
		m.Language = r.Language.Code
	}
	var objects []origin.Object
	for _, rendition := range r.Preview.Renditions {
		if !slices.ContainsFunc(objects, func(o origin.Object) bool { return o.Name == rendition.Object }) {
			objects = append(objects, origin.Object{Name: rendition.Object, ContentType: contentTypes[rendition.Container], Body: pub.Objects[rendition.Object]})
		}
	}
	result, err := p.origin.Publish(ctx, m, objects)
	return result == origin.Overtaken, outageOf("the origin", err)
}

// indexing fits an index to enrich.Indexer.
type indexing struct{ index index.Index }

func (i indexing) Put(ctx context.Context, r *episode.Record) (bool, error) {
	result, err := i.index.Put(ctx, index.FromRecord(r))
	if _, refused := errors.AsType[*index.Refused](err); refused {
		return false, dag.Reject("index refuses it", err)
	}
	// A missing index or an expired password is not the episode's fault either.
	return result == index.Overtaken, outageOf("the index", err)
}

// announcing fits a file of JSON lines, each an EpisodeEnriched, to
// enrich.Announcer: the embedded default, for whoever tails it.
type announcing struct{ path string }

func (a announcing) Announce(_ context.Context, r *episode.Record) error {
	line, err := message.EncodeEnriched(r, time.Now().UTC(), message.JSON)
	if err != nil {
		return notAnnounced(err)
	}
	f, err := os.OpenFile(a.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	// One write of one line: lines of several processes do not mix.
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Sync(), f.Close())
}
