package elastictest

import (
	"fmt"
	"syscall"
)

// Pause stops the node's process where it is, as a machine that hangs does: its
// connections stay open and nothing answers.
func (n *Node) Pause() error { return n.signal(syscall.SIGSTOP) }

// Resume lets it go on.
func (n *Node) Resume() error { return n.signal(syscall.SIGCONT) }

func (n *Node) signal(s syscall.Signal) error {
	if err := n.java.Process.Signal(s); err != nil {
		return fmt.Errorf("elastictest: signal %s to %s: %w", s, n.URL, err)
	}
	return nil
}
