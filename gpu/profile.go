package gpu

import (
	"cmp"
	"slices"
	"time"

	"github.com/earshot-fm/earshot/models"
)

// ProfileKey says of what a Profile is: other weights, another device, engine
// or precision need other memory.
type ProfileKey struct {
	SHA256    string `json:"sha256"`    // of the model
	Device    string `json:"device"`    // the device's name: "Tesla T4"
	Build     string `json:"build"`     // of engine and provider: "onnxruntime-1.32.0+cuda"
	Precision string `json:"precision"` // "fp32", "fp16", "int8"
}

// KeyOf is the key of a model's profile on a kind of device.
func KeyOf(m *models.Model, d Device, r models.Runtime) ProfileKey {
	return ProfileKey{SHA256: m.SHA256, Device: cmp.Or(d.Kind, d.Name), Build: r.Build(), Precision: m.Manifest.Precision}
}

// Profile is what a model was seen to need of a kind of device. The zero
// Profile knows nothing.
type Profile struct {
	ProfileKey
	Model        string  `json:"model"` // name@version
	WeightsBytes int64   `json:"weights_bytes"`
	OpeningBytes int64   `json:"opening_bytes"` // the most while it opens: file, graph and weights side by side
	LoadSeconds  float64 `json:"load_seconds"`  // from a cold start: reading, checking, opening
	Points       []Point `json:"points"`        // by cost, of equal cost the largest first

	perItem int64 // guessed, where nothing was measured
}

// Point is one size of batch as it was measured, alone on the device.
type Point struct {
	Items  int     `json:"items"`
	Cost   float64 `json:"cost"`        // of all items, in the model's unit
	Bytes  int64   `json:"bytes"`       // that the run took beside the weights
	Median float64 `json:"p50_seconds"` // of a run
	P99    float64 `json:"p99_seconds"`
	// Work is the median of the processors' time that a run takes on the CPU, which
	// others who share the machine disturb less than the clock; 0 on a GPU.
	Work float64 `json:"work_seconds,omitempty"`
}

// Measured tells whether there is anything to go by.
func (p *Profile) Measured() bool { return p != nil && p.WeightsBytes > 0 && len(p.Points) > 0 }

// A run is promised a little more than was ever seen, for what the allocator
// rounds up.
const (
	marginShare = 1.03
	marginBytes = 1 << 20
)

// Need is the memory that a run takes beside the weights, in bytes: an upper
// envelope over cost. No measured point is above it, it never falls as the cost
// grows, and past the largest point it goes on in proportion.
func (p *Profile) Need(items int, cost float64) int64 {
	if len(p.Points) == 0 {
		return p.perItem * int64(items)
	}
	return int64(marginShare*p.envelope(cost)) + marginBytes
}

func (p *Profile) envelope(cost float64) float64 {
	most, at := 0.0, 0.0
	for _, pt := range p.Points {
		bytes := max(most, float64(pt.Bytes))
		if cost < pt.Cost {
			if at == 0 {
				return bytes
			}
			return most + (bytes-most)*(cost-at)/(pt.Cost-at)
		}
		most, at = bytes, pt.Cost
	}
	if at == 0 {
		return most
	}
	return most * cost / at
}

// knee is the share of the best throughput from which a batch is large enough:
// a larger one takes memory, and time from whoever waits, and gains nothing.
const knee = 0.98

// Best is the size from which batches gain nothing: the smallest whose
// throughput is within 2 % of the best; its zero value: not measured. It is of
// the costliest items; of cheaper ones as many gain something as cost the same.
func (p *Profile) Best() (best Point) {
	fastest := 0.0
	for _, pt := range p.Points {
		fastest = max(fastest, pt.throughput())
	}
	for _, pt := range p.Points {
		if pt.throughput() >= knee*fastest && pt.Items > 0 && (best.Items == 0 || pt.Items < best.Items) {
			best = pt
		}
	}
	return best
}

// throughput is in items a second, since the items of a measure are alike.
func (pt Point) throughput() float64 {
	took := cmp.Or(pt.Work, pt.Median)
	if took <= 0 {
		return 0
	}
	return float64(pt.Items) / took
}

// Raise takes in that a run of some cost took more than the envelope said.
func (p *Profile) Raise(cost float64, bytes int64) {
	p.Points = append(slices.Clone(p.Points), Point{Cost: cost, Bytes: bytes})
	slices.SortStableFunc(p.Points, func(a, b Point) int {
		return cmp.Or(cmp.Compare(a.Cost, b.Cost), cmp.Compare(b.Bytes, a.Bytes))
	})
}

// Without a measure, what a model needs is guessed from its files, on the safe
// side for models of speech: the CPU's kernels keep a second copy of most
// weights, packed, and a GPU's libraries their workspaces.
const (
	guessedWeights = 3
	guessedRun     = 8
	guessedLeast   = 32 << 20
	guessedBatch   = 16 // items
)

// Guess is a profile of a model that was not measured.
func Guess(m *models.Model) (Profile, error) {
	files := int64(0)
	for _, name := range m.Manifest.Sessions {
		n, err := m.SessionBytes(name)
		if err != nil {
			return Profile{}, err
		}
		files += n
	}
	return Profile{
		Model:        m.Manifest.Ref(),
		WeightsBytes: guessedWeights * files,
		OpeningBytes: (guessedWeights + 2) * files,
		perItem:      max(guessedLeast, guessedRun*files) / guessedBatch,
	}, nil
}

// opening is what the model takes beside its weights while it opens.
func (p *Profile) opening() int64 { return max(0, p.OpeningBytes-p.WeightsBytes) }

// loads is how long the model takes to open.
func (p *Profile) loads() time.Duration { return time.Duration(p.LoadSeconds * float64(time.Second)) }
