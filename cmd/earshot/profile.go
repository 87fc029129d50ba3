package main

import (
	"os"
	"runtime/pprof"
)

// startProfile begins the CPU profile that --cpuprofile asks for.
func (a *app) startProfile() (err error) {
	if a.profile == "" {
		return nil
	}
	if a.profiling, err = os.Create(a.profile); err != nil {
		return err
	}
	return pprof.StartCPUProfile(a.profiling)
}

// stopProfile ends it.
func (a *app) stopProfile() error {
	if a.profiling == nil {
		return nil
	}
	pprof.StopCPUProfile()
	return a.profiling.Close()
}
