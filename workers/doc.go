// Package workers takes episodes from where they arrive and sees each of them
// to an end. A Source delivers events; the Worker runs one function on each
// and turns what came of it into a Verdict, which the source acts on:
// acknowledged when every effect is done, given back later when it may succeed
// then, filed as a dead letter when it never will. Stopping drains: nothing new
// is taken, what runs may finish within a grace, the rest is handed back.
//
// Sources live in packages below this one; the suite that each of them must
// pass is workers/workerstest.
package workers
