package elastic

import (
	"maps"
	"slices"

	"github.com/earshot-fm/earshot/workers/index"
)

// mappingVersion grows when the mapping or what is put into it changes: an
// index of another version must be made anew (Reindex).
const mappingVersion = 1

// provenance is what an index's mapping says of the index, under _meta.
type provenance struct {
	Earshot int `json:"earshot"` // mappingVersion of when it was made

	// From is the version of the pair that this one shall take the place of;
	// zero: of none.
	From int `json:"from"`
	// Checkpoint: all that From did up to this number of its sequence is here;
	// unfinished until a first pass is through.
	Checkpoint int64 `json:"checkpoint"`
	// Run is who fills it: that of two at once, or after it was deleted and came
	// to be again by itself, nobody takes it for what he has filled.
	Run string `json:"run,omitempty"`
}

// unfinished is no checkpoint: that of an index to which nothing was written
// is -1.
const unfinished = -2

// field is one field's mapping.
type field map[string]any

func settings(o Options) field {
	s := field{"max_result_window": index.MaxOffset + index.MaxLimit}
	if o.Shards > 0 {
		s["number_of_shards"] = o.Shards
	}
	if o.Replicas > 0 {
		s["number_of_replicas"] = o.Replicas
	}
	return s
}

// Texts are indexed as tokens of ours with spaces between, so that every node
// finds the same whatever analyzers it has; besides, where an analyzer knows
// their language, as they are.
func words() field { return field{"type": "text", "analyzer": "whitespace"} }

func keyword() field { return field{"type": "keyword", "ignore_above": 1024} }

// inflected has a field for each analyzer that the cluster has. What comes in
// another's is kept in _source and not indexed.
func inflected(there []string) field {
	fields := field{}
	for _, a := range there {
		fields[a] = field{"type": "text", "analyzer": a, "index_options": "freqs", "norms": false}
	}
	return field{"dynamic": false, "properties": fields}
}

func episodesMapping(there []string, from provenance) field {
	return field{
		"dynamic": "strict",
		"_meta":   from,
		"_source": field{"excludes": []string{"words", "stems", "vector"}},
		"properties": field{
			"id":        keyword(),
			"edition":   field{"type": "keyword", "doc_values": false},
			"revision":  field{"type": "long", "index": false},
			"removed":   field{"type": "boolean"},
			"podcast":   keyword(),
			"language":  keyword(), // as it was put, for the facet
			"languages": field{"type": "keyword", "doc_values": false, "ignore_above": 1024},
			"published": field{"type": "long"}, // ms since 1970: dates before it are not in every version
			"topic":     keyword(),             // names, for the facet
			"topics":    field{"type": "keyword", "doc_values": false, "ignore_above": 2048},
			"event":     keyword(),
			"events":    field{"type": "keyword", "doc_values": false, "ignore_above": 2048},
			"segments":  field{"type": "integer", "index": false},
			"space":     field{"type": "keyword", "doc_values": false},
			"vector":    field{"type": "binary", "doc_values": true},
			"words": field{"properties": field{
				"title": words(), "description": words(), "speech": words(),
			}},
			"titles":       inflected(there),
			"descriptions": inflected(there),
			"stems":        inflected(there), // title, description and speech together
			"document":     field{"type": "object", "enabled": false},
		},
	}
}

func segmentsMapping(there []string, from provenance) field {
	return field{
		"dynamic":  "strict",
		"_meta":    from,
		"_routing": field{"required": true},
		"_source":  field{"excludes": []string{"words"}},
		"properties": field{
			"episode": field{"type": "keyword", "doc_values": false},
			"edition": field{"type": "keyword"},
			"n":       field{"type": "integer"},
			"start":   field{"type": "double", "index": false, "doc_values": false},
			"end":     field{"type": "double", "index": false, "doc_values": false},
			"words":   words(),
			"text":    inflected(there),
		},
	}
}

// analyzerNames are all that a mapping may name, each once.
func analyzerNames() []string {
	return slices.Compact(slices.Sorted(maps.Values(analyzers)))
}
