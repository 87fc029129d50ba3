// Package lead lets one of several replicas do a piece of work. All offer to;
// one leads and works, the others wait, and one of them takes over when it is
// gone. The driver here is a lock on a file, for processes of one machine;
// package lease has one for replicas in Kubernetes.
package lead

import "context"

// Leader chooses who works. Its methods may be called from many goroutines.
type Leader interface {
	// Lead waits until nobody else leads and runs work then. The context that
	// work is given ends when ctx does, or when leadership is lost; work has to
	// return soon after, since another may begin. When leadership was lost, Lead
	// waits for work to return, and then for its turn again. It returns when ctx
	// ended (nil) or work returned while it led (what work returned), after work
	// has returned, and has given leadership up by then. An error says that there
	// can be no leader.
	Lead(ctx context.Context, work func(ctx context.Context) error) error
}
