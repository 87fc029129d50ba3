package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/earshot-fm/earshot/gpu"
)

// socketPattern matches the sockets of a state folder's workers, each named by
// its process.
const socketPattern = "worker-*.sock"

// shownWorker is what a worker says of its devices: an element of devices' JSON.
type shownWorker struct {
	PID     int                `json:"pid"`
	Devices []shownWorkerState `json:"devices"`
}

type shownWorkerState struct {
	Device    string          `json:"device"`
	LeftOut   bool            `json:"left_out,omitempty"` // after it failed again and again
	Ledger    shownLedger     `json:"ledger"`
	Residents []shownResident `json:"residents"`
}

// shownLedger is a device's account, in bytes; used is what the driver or the
// cgroup says of it all, 0 where nobody knows.
type shownLedger struct {
	Total   int64 `json:"total"`
	Reserve int64 `json:"reserve"`
	Foreign int64 `json:"foreign"`
	Weights int64 `json:"weights"`
	Arenas  int64 `json:"arenas"`
	InUse   int64 `json:"in_use"`
	Left    int64 `json:"left"`
	Used    int64 `json:"used"`
}

type shownResident struct {
	Model    string `json:"model"`
	Weights  int64  `json:"weights"`
	Arena    int64  `json:"arena"`
	Runs     int    `json:"runs"`
	Measured bool   `json:"measured"` // what it needs, and not guessed
}

func showWorker(devices []gpu.DeviceState) shownWorker {
	w := shownWorker{PID: os.Getpid(), Devices: []shownWorkerState{}}
	for _, d := range devices {
		b := d.Balance
		state := shownWorkerState{
			Device: d.Name, LeftOut: d.Out, Residents: []shownResident{},
			Ledger: shownLedger{b.Total, b.Reserve, b.Foreign, b.Weights, b.Arenas, b.InUse, b.Left, d.Reading.UsedBytes},
		}
		for _, r := range d.Residents {
			state.Residents = append(state.Residents, shownResident(r))
		}
		w.Devices = append(w.Devices, state)
	}
	return w
}

// serveSocket has the operator port answer on a socket in the state folder too,
// where `earshot devices` looks. Where there can be none the worker goes on
// without.
func (p *pipeline) serveSocket(state string, h *health, log *slog.Logger) {
	l, err := listenAt(filepath.Join(state, fmt.Sprintf("worker-%d.sock", os.Getpid())))
	if err != nil {
		log.Warn("earshot devices will not see this worker", "error", err)
		return
	}
	p.serve(l, p.operatorPort(h), log)
}

// listenAt opens a socket for this user alone. One that a killed worker left
// there is cleared away: in a container they all have the same process number.
func listenAt(path string) (net.Listener, error) {
	l, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EADDRINUSE) {
		c, dialErr := net.Dial("unix", path)
		if dialErr == nil {
			return nil, errors.Join(err, c.Close())
		}
		if errors.Is(dialErr, syscall.ECONNREFUSED) {
			_ = os.Remove(path) // what is wrong shows next
			l, err = net.Listen("unix", path)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// askWorkers asks the workers of a state folder about their devices, and clears
// away the sockets of those that are gone.
func askWorkers(ctx context.Context, state string) []shownWorker {
	workers := []shownWorker{}
	sockets, _ := filepath.Glob(filepath.Join(state, socketPattern)) // fails on bad patterns alone
	for _, path := range sockets {
		w, err := askWorker(ctx, path)
		switch {
		case err == nil:
			workers = append(workers, w)
		case errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist):
			_ = os.Remove(path) // another may have done it
		}
	}
	return workers
}

func askWorker(ctx context.Context, path string) (w shownWorker, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://worker/devices", nil)
	if err != nil {
		return w, err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return w, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	return w, json.NewDecoder(resp.Body).Decode(&w)
}
