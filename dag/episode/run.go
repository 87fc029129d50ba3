package episode

import "time"

// Run is how a record came about: what ran, where, how long. It is never
// part of the content.
type Run struct {
	Nodes   map[string]NodeRun `json:"nodes"`
	Latency Latency            `json:"latency"`
	Visits  []Visit            `json:"visits,omitempty"` // the audit log: this run last, and those before it
}

// Visit is one run on the episode that came to an end.
type Visit struct {
	By      string    `json:"by,omitempty"` // the worker's name
	Began   time.Time `json:"began"`
	Took    Seconds   `json:"took"`
	Nodes   []string  `json:"nodes"` // that ran
	Failure string    `json:"failure,omitempty"`
}

// NodeRun is one node's part in a run.
type NodeRun struct {
	Status  string  `json:"status"` // "ran", "reused", "skipped", "gap"
	Reason  string  `json:"reason,omitempty"`
	Model   string  `json:"model,omitempty"` // name@version
	Device  string  `json:"device,omitempty"`
	Batch   Score   `json:"batch,omitempty"` // mean size of the batches its items ran in
	Items   int     `json:"items,omitempty"` // items it gave to the scheduler
	Key     string  `json:"key,omitempty"`
	Hash    string  `json:"hash,omitempty"`
	Started Seconds `json:"started"` // since the run began
	Waited  Seconds `json:"waited"`  // in the scheduler's queues, summed over items that overlap
	Ran     Seconds `json:"ran"`     // from start to finish
}

// Latency is what a listener waits for.
type Latency struct {
	FirstSeenToPreview Seconds  `json:"first_seen_to_preview"`
	ReceivedToPreview  Seconds  `json:"received_to_preview"`
	CriticalPath       []string `json:"critical_path"` // the nodes that each waited for the one before
}
