package pubsub

import (
	"errors"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// Pub/Sub adds its own pause to the wait that a verdict asks for: after an
// outage, in which all was put off again and again, that must not be minutes.
func TestALongBackoffOfTheSubscriptionsOwnIsNamedAndMended(t *testing.T) {
	eachService(t, func(t *testing.T, address func(t *testing.T) string) {
		c := open(t, address(t), Options{})
		policy := &pubsubpb.RetryPolicy{MinimumBackoff: durationpb.New(shortestBackoff), MaximumBackoff: durationpb.New(10 * time.Minute)}
		_, err := c.subs.UpdateSubscription(t.Context(), &pubsubpb.UpdateSubscriptionRequest{
			Subscription: &pubsubpb.Subscription{Name: c.subscription(c.options.Names.Live), RetryPolicy: policy},
			UpdateMask:   &fieldmaskpb.FieldMask{Paths: []string{"retry_policy"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		note := func(string) {}
		if err := errors.Join(c.Check(t.Context(), note)...); err == nil || !strings.Contains(err.Error(), "10m0s more than the worker asked") {
			t.Errorf("Check: %v", err)
		}
		if err := c.Create(t.Context(), note); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.Check(t.Context(), note)...); err != nil && strings.Contains(err.Error(), "retry policy") {
			t.Errorf("Check, when Create has mended it: %v", err)
		}
	})
}
