package latency

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/earshot-fm/earshot/dag/episode"
)

func ran(started, ran episode.Seconds) episode.NodeRun {
	return episode.NodeRun{Status: "ran", Started: started, Ran: ran}
}

func TestPercentilesAreMeasuredTimes(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		times := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) episode.Seconds {
			return episode.Seconds(rapid.Float64Range(0, 1e4).Draw(r, "time"))
		}), 1, 300).Draw(r, "times")
		d := distribution(times)
		for p, got := range map[float64]episode.Seconds{0.5: d.P50, 0.9: d.P90, 0.99: d.P99, 1: d.Max} {
			atMost, below, measured := 0, 0, false
			for _, v := range times {
				measured = measured || v == got
				if v <= got {
					atMost++
				}
				if v < got {
					below++
				}
			}
			n := float64(len(times))
			if !measured || float64(atMost) < p*n || float64(below) >= p*n {
				r.Fatalf("p%v of %v = %v", p*100, times, got)
			}
		}
	})
}

func collect() Report {
	var c Collector
	for i := range 10 {
		path := []string{"fetch", "decode", "preview"}
		if i == 0 {
			path = []string{"fetch", "preview"}
		}
		c.Add(&episode.Run{
			Nodes: map[string]episode.NodeRun{
				"fetch":   {Status: "ran", Ran: episode.Seconds(i), Waited: 0.5},
				"decode":  {Status: "reused", Ran: 0.001},
				"preview": ran(0, 20),
			},
			Latency: episode.Latency{FirstSeenToPreview: episode.Seconds(i + 1), ReceivedToPreview: episode.Seconds(i) + 0.5, CriticalPath: path},
		})
	}
	return c.Report()
}

func TestReport(t *testing.T) {
	r := collect()
	if want := (Distribution{Count: 10, P50: 5, P90: 9, P99: 10, Max: 10}); r.Episodes != 10 || r.FirstSeenToPreview != want {
		t.Errorf("first seen to preview %+v", r.FirstSeenToPreview)
	}
	if r.Nodes[0].Name != "preview" || r.Nodes[1].Name != "fetch" || r.Nodes[2].Statuses["reused"] != 10 || r.Nodes[2].Ran.Count != 0 {
		t.Errorf("nodes %+v", r.Nodes)
	}
	if want := []Path{{[]string{"fetch", "decode", "preview"}, 9}, {[]string{"fetch", "preview"}, 1}}; !reflect.DeepEqual(r.CriticalPaths, want) {
		t.Errorf("paths %+v", r.CriticalPaths)
	}
	body, err := json.Marshal(r)
	if err != nil || !strings.HasPrefix(string(body), `{"episodes":10,"first_seen_to_preview":{"count":10,"p50":5,`) {
		t.Errorf("%s, %v", body, err)
	}
	var empty Collector
	if body, err := json.Marshal(empty.Report()); err != nil || !strings.Contains(string(body), `"nodes":[]`) {
		t.Errorf("%s, %v", body, err)
	}
}

func TestReportAsText(t *testing.T) {
	const want = `10 episodes            count  p50       p90       p99       max       waited p50
first seen to preview  10     5.000 s   9.000 s   10.000 s  10.000 s  
received to preview    10     4.500 s   8.500 s   9.500 s   9.500 s   
  preview              10     20.000 s  20.000 s  20.000 s  20.000 s  0.000 s
  fetch                10     4.000 s   8.000 s   9.000 s   9.000 s   0.500 s
  decode               0      –         –         –         –         –
critical path of 9: fetch → decode → preview
critical path of 1: fetch → preview
`
	var b strings.Builder
	if err := collect().WriteText(&b); err != nil || b.String() != want {
		t.Errorf("%v\n%s", err, b.String())
	}
}
