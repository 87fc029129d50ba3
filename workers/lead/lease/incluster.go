package lease

import (
	"fmt"
	"os"
	"strings"

	"k8s.io/client-go/rest"
)

// namespaceFile is where Kubernetes tells a pod its namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// InCluster is New for a process in a pod, with its service account. Without a
// Namespace it is the pod's own.
func InCluster(o Options) (*Leader, error) {
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	if o.Namespace == "" {
		b, err := os.ReadFile(namespaceFile)
		if err != nil {
			return nil, fmt.Errorf("lease: the pod's namespace: %w", err)
		}
		o.Namespace = strings.TrimSpace(string(b))
	}
	return New(config, o)
}
