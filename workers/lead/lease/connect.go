package lease

import (
	"fmt"

	"k8s.io/client-go/tools/clientcmd"
)

// Connect is New for the Kubernetes at hand: in a pod with its service account,
// elsewhere as the file in KUBECONFIG or ~/.kube/config says. Without a
// Namespace it is the pod's, or the file's.
func Connect(o Options) (*Leader, error) {
	found := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), nil)
	config, err := found.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("lease: how to reach Kubernetes: %w", err)
	}
	if o.Namespace == "" {
		if o.Namespace, _, err = found.Namespace(); err != nil {
			return nil, fmt.Errorf("lease: the Lease's namespace: %w", err)
		}
	}
	return New(config, o)
}
