package pubsub

import (
	"context"
	"fmt"

	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Rights that a worker needs.
const (
	consume    = "pubsub.subscriptions.consume"
	publishing = "pubsub.topics.publish"
)

// Reach says whether Pub/Sub answers and lets us fetch live events: nil when it
// does. It is one call, is not tried again, takes no message, and needs no other
// right than the worker's own (to look at a subscription would take
// roles/pubsub.viewer). ctx bounds it: without a deadline it may take as long as
// a connection does.
func (c *Client) Reach(ctx context.Context) error {
	name := c.subscription(c.options.Subscriptions.Live)
	answer, err := c.subs.TestIamPermissions(ctx, &iampb.TestIamPermissionsRequest{Resource: name, Permissions: []string{consume}}, once)
	if status.Code(err) == codes.Unimplemented { // an emulator: nobody needs rights there
		_, err = c.subs.GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{Subscription: name}, once)
	} else if err == nil && len(answer.Permissions) == 0 { // so a missing subscription may look too
		return fmt.Errorf("pubsub: %s is missing, or there is no right %s on it; `earshot preflight` says which", name, consume)
	}
	if err != nil {
		return fmt.Errorf("pubsub: reach %s: %w", name, advised(err))
	}
	return nil
}
