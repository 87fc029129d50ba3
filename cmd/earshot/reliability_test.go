package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
)

// What `make soak` does more of. The quick share kills at a few of the graph's
// points, which differ by the seed.
var (
	faultKills  = flag.Int("fault.kills", 5, "how often a worker with services is killed at a random moment")
	faultMemory = flag.Bool("fault.memory", false, "Pub/Sub is the library's in-memory server: the emulator loses messages to fetches of killed processes")
	faultPoints = flag.Int("fault.points", 4, "at how many nodes' starts and ends, and gaps, it is killed; 0: at all")
	faultOutage = flag.Duration("fault.outage", 2*time.Second, "for how long services are away")
	faultCrowd  = flag.Int("fault.episodes", 6, "episodes that go through each fault")
	faultSeed   = flag.Uint64("fault.seed", 1, "of what is random")
)

// disturbance is what happens to a site while its workers are at work.
type disturbance struct {
	name   string
	events int // how many; 0: as many as -fault.episodes
	slots  int // of each worker
	do     func(t *testing.T, c *crew, events []episode.Event)
}

// TestServicesAndWorkersMayFail runs the real program on an emulator of Pub/Sub,
// a node of Elasticsearch and S3 while something fails, and compares what it ends
// with: no episode is missing, none is found twice or as it was, none was given
// up, every manifest can be read, and all bytes are those of a run that nothing
// disturbed.
func TestServicesAndWorkersMayFail(t *testing.T) {
	disturbances := []disturbance{
		{"kill -9 at random moments", max(*faultCrowd, *faultKills), 2, killedAtRandom},
		{"kill -9 at nodes and gaps", len(killPoints(t)), 1, killedAtPoints},
		{"Elasticsearch away", 0, 4, elasticsearchAway},
		{"Elasticsearch failing now and then", 0, 4, elasticsearchFailing},
		{"S3 away", 0, 4, storesAway},
		{"S3 answering 503, slow, or cut", 0, 4, storesFailing},
		{"everything delivered three times", 0, 4, deliveredAgain},
		{"a full disk", 0, 4, fullDisk},
	}
	crowd := *faultCrowd
	for _, d := range disturbances {
		crowd = max(crowd, d.events)
	}
	events := shortEpisodes(crowd)
	sites := make([]*site, len(disturbances))
	for i, d := range disturbances {
		sites[i] = newSite(t, d.slots)
	}
	want := undisturbed(t, events)
	for i, d := range disturbances {
		mine := events[:max(*faultCrowd, d.events)]
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			c := newCrew(t, sites[i])
			d.do(t, c, mine)
			c.dismiss()
			same(t, sites[i].settled(t, mine), of(want, mine, events))
		})
	}
}

// undisturbed is what a run leaves in which nothing fails.
func undisturbed(t *testing.T, events []episode.Event) map[string]string {
	t.Helper()
	s := newSite(t, 4)
	s.publish(t, events...)
	c := newCrew(t, s)
	c.hire(stateFolder(t))
	c.untilDone(1, events...)
	c.dismiss()
	return s.settled(t, events)
}

// TestElasticsearchMayStop stops the node itself while two workers work, for the
// outage's time from the first verdict that shows it.
func TestElasticsearchMayStop(t *testing.T) {
	events := shortEpisodes(*faultCrowd)
	want := undisturbed(t, events)
	s := newSite(t, 4)
	c := newCrew(t, s)
	c.hire(stateFolder(t))
	c.hire(stateFolder(t))
	s.publish(t, events[:len(events)/2]...)
	c.until("something is done", func() bool { return c.logged > 0 })
	if err := node.running.Pause(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := node.running.Resume(); err != nil { // a second time does nothing
			t.Error(err)
		}
	}()
	s.publish(t, events[len(events)/2:]...)
	c.until("work fails", func() bool { return c.failed > 0 })
	after(*faultOutage)
	if err := node.running.Resume(); err != nil {
		t.Fatal(err)
	}
	c.untilDone(1, events...)
	c.dismiss()
	same(t, s.settled(t, events), want)
}

// of leaves out what is of other events than some.
func of(all map[string]string, some, events []episode.Event) map[string]string {
	if len(some) == len(events) {
		return all
	}
	return only(all, some)
}

func random() *rand.Rand { return rand.New(rand.NewPCG(*faultSeed, 0)) }

func killedAtRandom(t *testing.T, c *crew, events []episode.Event) {
	r := random()
	states := []string{stateFolder(t), stateFolder(t)}
	crew := []*process{c.hire(states[0]), c.hire(states[1])}
	for n := range *faultKills {
		// One that is new, and one that may be in work with the other worker.
		c.site.publish(t, events[n], events[r.IntN(n+1)])
		i := r.IntN(len(crew))
		victim, moment := crew[i], c.lines()+1+r.IntN(60)
		// The moment is a line of either's log, unless there is nothing to do.
		c.orPass(2*time.Second, func() bool { return c.logged >= moment })
		c.kill(victim)
		crew[i] = c.hire(states[i])
	}
	c.site.publish(t, events[*faultKills:]...)
	c.untilDone(1, events...)
	t.Logf("%d kills", *faultKills)
}

// killPoints are all starts and ends of nodes that a stand-in runs, and the gap
// between the last effect and the acknowledgement.
func killPoints(t *testing.T) (points []string) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "config.yaml")
	write(t, config, "{}\n")
	for _, n := range nodeNames(t, config) {
		if !slices.Contains([]string{"speakers", "punctuation", "publisher-transcript", "publisher-chapters"}, n) {
			points = append(points, n+":started", n+":stopped")
		}
	}
	points = append(points, "verdict")
	if n := *faultPoints; n > 0 && n < len(points) {
		r := random()
		r.Shuffle(len(points)-1, func(i, j int) { points[i], points[j] = points[j], points[i] })
		points = points[len(points)-n:] // verdict among them
	}
	return points
}

func killedAtPoints(t *testing.T, c *crew, events []episode.Event) {
	state := stateFolder(t)
	c.site.publish(t, events...)
	for _, point := range killPoints(t) {
		p := c.hire(state, "--die-at", point)
		c.until("the worker dies at "+point, p.gone)
		if p.ProcessState.ExitCode() != -1 {
			t.Errorf("%s: the worker ended with %v:\n%s", point, p.ProcessState, p.tail())
		}
		c.died(p)
	}
	c.hire(state)
	c.untilDone(1, events...)
	t.Logf("%d kills", len(events))
}

func deliveredAgain(t *testing.T, c *crew, events []episode.Event) {
	c.hire(stateFolder(t))
	c.hire(stateFolder(t))
	for range 3 {
		c.site.publish(t, events...)
	}
	c.untilDone(3, events...)
}

// fullDisk gives a worker a small disk of its own, which somebody else fills.
func fullDisk(t *testing.T, c *crew, events []episode.Event) {
	disk := stateFolder(t)
	worker := builtCommand(t, "stream", "-v", "-o", "json", "--config", c.site.config, "--state", filepath.Join(disk, "state"), "--stand-in", "60ms")
	filler := filepath.Join(disk, "filler")
	script := fmt.Sprintf(`mount -t tmpfs -o size=64m none %[1]s && mkdir %[1]s/state && head -c 62m /dev/zero >%[2]s && exec "$@"`, disk, filler)
	unshare := []string{"unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh"}
	if os.Getuid() == 0 {
		unshare = slices.Delete(unshare, 2, 3)
	}
	cmd := builtCommand(t)
	cmd.Env = worker.Env
	cmd.Args = append(unshare, worker.Args...)
	cmd.Path = "/usr/bin/unshare"
	c.site.publish(t, events...)
	p := c.start(cmd)
	c.until("the disk is full", func() bool { return c.failed >= len(events) || p.gone() })
	if p.gone() {
		t.Fatalf("the worker ended with %v:\n%s", p.ProcessState, p.tail())
	}
	if err := os.Remove(fmt.Sprintf("/proc/%d/root%s", p.Process.Pid, filler)); err != nil {
		t.Fatal(err)
	}
	c.untilDone(1, events...)
}

// after waits for a time to pass: that for which a service is away.
func after(d time.Duration) { <-time.NewTimer(d).C }

// dice decide a front's faults; requests come from many goroutines.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (d *dice) roll(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}
