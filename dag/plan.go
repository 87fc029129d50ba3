package dag

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// facts are what a run knows about one node. All but running belong to a key
// and are forgotten when the key changes, which it does when a need comes to
// have other content than was thought.
type facts struct {
	running bool // its Func, under this key or the one before

	key   string            // "" until all that enters it is known
	needs map[string]string // what each need added to the key

	gap    string  // why the node has no result; "" if it has one, or it is not known
	root   string  // with gap: the node that the gap came from
	why    string  // with gap: the reason of that node
	lookup inquiry // whether the store has the key
	hash   string  // of the artifact, by the store or by running
	check  inquiry // whether the store has the bytes
	there  bool    // it has

	ran     bool         // its Func ended in this run, with a result or a gap
	nothing bool         // it is an effect that made nothing to store
	made    made         // what this run made, if it is small
	own     bool         // the artifact is what this run made, not what another had made before
	live    *publication // of the last start
	vain    int          // starts in a row that came to nothing through no fault of its own

	readyAt  int // the run's tick at which the live value or the result came
	decision Decision
}

// inquiry is where a question to the store stands.
type inquiry uint8

const (
	unasked inquiry = iota
	asked
	answered
)

// want is what a node is wanted for.
type want uint8

const (
	wantKey   want = 1 << iota // to know the key of a node that needs it live
	wantHash                   // to know the key of a node that needs its artifact
	wantBytes                  // to run a node that reads its artifact, or as a target
	wantLive                   // to run a node that reads its live value
)

// resolve brings every node's key and gap up to date with what is known of its
// needs. It goes from needs to those who need them.
func (r *run) resolve() {
	for i := range r.graph.nodes {
		n, f := &r.graph.nodes[i], &r.facts[i]
		if n.Off != "" {
			f.gap, f.root, f.why = n.Off, n.Name, n.Off
			continue
		}
		key, needs, missing := r.keyOf(n)
		if key != f.key {
			*f = facts{running: f.running, key: key, needs: needs, vain: f.vain}
		}
		if missing != nil && f.gap == "" {
			f.gap = "needs " + missing.root + ": " + missing.why
			f.root, f.why = missing.root, missing.why
		}
	}
}

// keyOf gives a node's key, or "" while a need is not settled, and the first
// of its required needs that is a gap.
func (r *run) keyOf(n *Node) (key string, needs map[string]string, missing *facts) {
	h := sha256.New()
	field := func(s string) {
		// Lengths before the fields: no two lists of fields give the same bytes.
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(s)))
		h.Write(size[:])
		h.Write([]byte(s))
	}
	field("earshot/dag key 1")
	field(n.Name)
	field(n.Version)
	needs = make(map[string]string, len(n.Needs))
	for _, need := range n.Needs {
		part, gap := r.contribution(need)
		if part == "" {
			return "", nil, nil
		}
		if gap != nil && !need.Optional && missing == nil {
			missing = gap
		}
		needs[need.Name] = part
		field(need.Name)
		field(part)
	}
	return hex.EncodeToString(h.Sum(nil)), needs, missing
}

// contribution is what a need adds to the key of the node that has it: the
// hash of an artifact or input, the key of a live need, the reason of a gap;
// "" while it is not settled.
func (r *run) contribution(need Need) (part string, gap *facts) {
	i, isNode := r.graph.index[need.Name]
	if !isNode {
		return r.inputs[need.Name], nil
	}
	f := &r.facts[i]
	switch {
	case f.gap != "":
		return "gap: " + f.gap, f
	case need.Live && f.key != "":
		return "live: " + f.key, nil
	case need.Live:
		return "", nil
	}
	return f.hash, nil
}

// wants says what each node is wanted for, from the targets down to what they
// need. It asks for a need's bytes or live value only for a node that must
// run; with assume also for nodes of which it is not known whether they must.
func (r *run) wants(assume bool) []want {
	wants := make([]want, len(r.facts))
	for i := len(wants) - 1; i >= 0; i-- {
		n, f := &r.graph.nodes[i], &r.facts[i]
		if r.targets[i] {
			wants[i] |= wantHash
			if !n.Effect {
				wants[i] |= wantBytes
			}
		}
		if wants[i] == 0 || n.Off != "" {
			continue
		}
		runs := r.mustRun(i, wants[i]) || assume && f.key == ""
		for _, need := range n.Needs {
			m, isNode := r.graph.index[need.Name]
			if !isNode {
				continue
			}
			switch {
			case need.Live && runs:
				wants[m] |= wantKey | wantLive
			case need.Live:
				wants[m] |= wantKey
			case runs:
				wants[m] |= wantHash | wantBytes
			default:
				wants[m] |= wantHash
			}
		}
	}
	return wants
}

// mustRun says whether it is certain that a node must run, being wanted so.
func (r *run) mustRun(i int, w want) bool {
	n, f := &r.graph.nodes[i], &r.facts[i]
	switch {
	case w == 0 || f.key == "" || f.gap != "":
		return false
	case n.Effect || r.forced[i]:
		return !f.ran
	case w&wantLive != 0 && !f.published():
		return true
	case w&wantHash != 0 && f.lookup == answered && f.hash == "":
		return true
	case w&wantBytes != 0 && f.check == answered && !f.there:
		return true
	}
	return false
}

// ready says whether everything that a node reads is at hand, and gives the
// need that came last of those that this run made.
func (r *run) ready(i int) (after string, ok bool) {
	last := 0
	for _, need := range r.graph.nodes[i].Needs {
		m, isNode := r.graph.index[need.Name]
		if !isNode {
			continue
		}
		f := &r.facts[m]
		switch {
		case need.Live && !f.published():
			return "", false
		case !need.Live && f.gap == "" && !f.there:
			return "", false
		}
		if f.readyAt > last {
			last, after = f.readyAt, need.Name
		}
	}
	return after, true
}

func (f *facts) published() bool { return f.live != nil && f.live.open }
