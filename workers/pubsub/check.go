package pubsub

import (
	"context"
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// fault is something wrong with the layout.
type fault struct {
	err error
	// paths are the subscription's fields that can be set right without harm to
	// anybody who uses it.
	paths []string
}

// Check looks at all that is needed and says what is missing or wrong, each
// fault with what to do; note is told what could not be looked at here, and why
// that is no fault.
func (c *Client) Check(ctx context.Context, note func(string)) (faults []error) {
	schemas := c.schemasServed(ctx, note)
	if schemas {
		for _, s := range []*schema{published, removed, enriched} {
			if _, err := c.registered(ctx, s); err != nil {
				faults = append(faults, err)
			}
		}
	}
	for _, p := range c.places() {
		if err := c.checkTopic(ctx, p, schemas); err != nil {
			faults = append(faults, err)
		}
		if p.subscription == "" {
			continue
		}
		s, err := c.subs.GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{Subscription: c.subscription(p.subscription)})
		if err != nil {
			faults = append(faults, lookedAt("subscription", c.subscription(p.subscription), err))
			continue
		}
		for _, f := range c.compare(p, s) {
			faults = append(faults, fmt.Errorf("pubsub: subscription %s: %w", s.Name, f.err))
		}
	}
	return append(faults, c.checkRights(ctx, note)...)
}

// schemasServed says whether the service knows protobuf schemas: the emulator
// does not.
func (c *Client) schemasServed(ctx context.Context, note func(string)) bool {
	_, err := c.schemas.ValidateSchema(ctx, &pubsubpb.ValidateSchemaRequest{
		Parent: "projects/" + c.options.Project, Schema: &pubsubpb.Schema{Type: pubsubpb.Schema_PROTOCOL_BUFFER, Definition: published.definition},
	})
	if status.Code(err) == codes.Unimplemented {
		note("no schemas: this Pub/Sub has none for protobuf (" + status.Convert(err).Message() + "); the worker checks each message by itself in any case")
		return false
	}
	return true // what else is wrong shows below
}

// registered says whether this version's definition is among the schema's
// revisions, which may have later ones; there is whether the schema exists.
func (c *Client) registered(ctx context.Context, s *schema) (there bool, err error) {
	all := c.schemas.ListSchemaRevisions(ctx, &pubsubpb.ListSchemaRevisionsRequest{Name: c.schemaName(s), View: pubsubpb.SchemaView_FULL})
	for {
		revision, err := all.Next()
		switch {
		case isDone(err) && !there || status.Code(err) == codes.NotFound:
			return false, fmt.Errorf("pubsub: schema %s is missing; `earshot preflight --create` makes it", c.schemaName(s))
		case isDone(err):
			return true, fmt.Errorf("pubsub: schema %s has no revision with this version's definition; `earshot preflight --create` adds it", c.schemaName(s))
		case err != nil:
			return there, lookedAt("schema", c.schemaName(s), err)
		case revision.Definition == s.definition:
			return true, nil
		}
		there = true
	}
}

func (c *Client) checkTopic(ctx context.Context, p place, schemas bool) error {
	t, err := c.topics.GetTopic(ctx, &pubsubpb.GetTopicRequest{Topic: c.topic(p.id)})
	if err != nil {
		return lookedAt("topic", c.topic(p.id), err)
	}
	if p.schema == nil || !schemas {
		return nil
	}
	got := t.GetSchemaSettings()
	switch want := c.schemaSettings(p.schema); {
	case got.GetSchema() == "":
		return fmt.Errorf("pubsub: topic %s is held to no schema, and takes what no worker can read; when all who publish to it keep to the contract: gcloud pubsub topics update %s --schema=%s --message-encoding=%s",
			t.Name, t.Name, want.Schema, strings.ToLower(want.Encoding.String()))
	case got.Schema != want.Schema:
		return fmt.Errorf("pubsub: topic %s is held to the schema %s, and refuses what is no message of %s; take that schema off the topic, or name another topic", t.Name, got.Schema, want.Schema)
	case got.Encoding != want.Encoding:
		return fmt.Errorf("pubsub: topic %s takes the encoding %s, and refuses what is published as %s; set the encoding in the configuration to the topic's", t.Name, got.Encoding, want.Encoding)
	}
	return nil
}

// compare says what is wrong with a subscription.
func (c *Client) compare(p place, got *pubsubpb.Subscription) (faults []fault) {
	want := c.wanted(p)
	add := func(paths []string, text string, values ...any) {
		faults = append(faults, fault{fmt.Errorf(text, values...), paths})
	}
	const create = "`earshot preflight --create` sets it"
	if got.Topic != want.Topic {
		add(nil, "it is attached to topic %s, not to %s; a subscription cannot be moved: delete it, and `earshot preflight --create` makes another", got.Topic, want.Topic)
	}
	if got.Detached {
		add(nil, "it is detached from its topic and gets nothing; delete it, and `earshot preflight --create` makes another")
	}
	if got.GetPushConfig().GetPushEndpoint() != "" || got.GetBigqueryConfig().GetTable() != "" || got.GetCloudStorageConfig().GetBucket() != "" {
		add(nil, "it delivers to somebody else (push, BigQuery or Cloud Storage) and cannot be fetched from; make it a pull subscription")
	}
	if d := time.Duration(got.AckDeadlineSeconds) * time.Second; d > 2*ackDeadline {
		add([]string{"ack_deadline_seconds"}, "what a crash loses comes back only after %s (acknowledgement deadline), want %s; %s", d, ackDeadline, create)
	}
	if d := got.GetMessageRetentionDuration().AsDuration(); d < c.retention() {
		add([]string{"message_retention_duration"}, "messages are kept for %s, and what a long backlog has not come to by then is lost in silence, want %s; %s", d, c.retention(), create)
	}
	if ttl := got.GetExpirationPolicy().GetTtl(); got.ExpirationPolicy == nil || ttl != nil {
		add([]string{"expiration_policy"}, "it is deleted, with all that is on it, when nobody has fetched from it for a while (expiration policy); %s", create)
	}
	if p.letters {
		if got.DeadLetterPolicy != nil {
			add(nil, "the dead letters have a dead-letter policy of their own (%s): looking at them often would take them away; remove the policy", got.DeadLetterPolicy.DeadLetterTopic)
		}
		if got.RetryPolicy != nil {
			add(nil, "a retry policy hides the letters that were kept for a while after each look; remove the policy")
		}
		return faults
	}
	switch policy := got.DeadLetterPolicy; {
	case p.endless && policy != nil:
		add([]string{"dead_letter_policy"}, "its dead-letter policy takes a takedown away after %d deliveries, with the episode still public; `earshot preflight --create` removes it", policy.MaxDeliveryAttempts)
	case p.endless:
	case policy == nil:
		add([]string{"dead_letter_policy"}, "no dead-letter policy: Pub/Sub then counts no deliveries, and attempts are known to one process only; %s", create)
	case policy.DeadLetterTopic != want.DeadLetterPolicy.DeadLetterTopic:
		add(nil, "its dead-letter policy sends to %s, where `earshot deadletters` does not look; name %s", policy.DeadLetterTopic, want.DeadLetterPolicy.DeadLetterTopic)
	case policy.MaxDeliveryAttempts < lastNet:
		add([]string{"dead_letter_policy"}, "its dead-letter policy takes messages away after %d deliveries, want %d, so that the worker decides; %s", policy.MaxDeliveryAttempts, lastNet, create)
	}
	switch policy := got.RetryPolicy; {
	case policy == nil:
		add([]string{"retry_policy"}, "no retry policy: what fails at once comes back at once, again and again; %s", create)
	case policy.GetMinimumBackoff().AsDuration() > 10*time.Second:
		add([]string{"retry_policy"}, "what a stopping worker hands back waits for %s or longer (retry policy), want %s; %s", policy.GetMinimumBackoff().AsDuration(), shortestBackoff, create)
	case policy.GetMaximumBackoff() == nil || policy.GetMaximumBackoff().AsDuration() > time.Minute:
		add([]string{"retry_policy"}, "what was put off often waits for up to %s more than the worker asked (maximum backoff of the retry policy), want %s; %s", policy.GetMaximumBackoff().AsDuration(), longestBackoff, create)
	}
	return faults
}

// checkRights asks whether we may publish and fetch.
func (c *Client) checkRights(ctx context.Context, note func(string)) (faults []error) {
	type test func(context.Context, *iampb.TestIamPermissionsRequest, ...gax.CallOption) (*iampb.TestIamPermissionsResponse, error)
	may := func(ask test, resource, permission, role string) bool {
		answer, err := ask(ctx, &iampb.TestIamPermissionsRequest{Resource: resource, Permissions: []string{permission}})
		switch {
		case status.Code(err) == codes.Unimplemented:
			note("rights cannot be looked at: this Pub/Sub has none")
			return false
		case status.Code(err) == codes.NotFound: // said already
		case err != nil:
			faults = append(faults, fmt.Errorf("pubsub: ask for the right %s on %s: %w", permission, resource, err))
		case len(answer.Permissions) == 0:
			faults = append(faults, fmt.Errorf("pubsub: no right %s on %s; grant the service account %s", permission, resource, role))
		}
		return true
	}
	for _, p := range c.places() {
		if !may(c.topics.TestIamPermissions, c.topic(p.id), publishing, "roles/pubsub.publisher") {
			return faults
		}
		if p.subscription != "" && !may(c.subs.TestIamPermissions, c.subscription(p.subscription), consume, "roles/pubsub.subscriber") {
			return faults
		}
	}
	return faults
}

// lookedAt is the fault of something that could not be looked at.
func lookedAt(kind, name string, err error) error {
	switch status.Code(err) {
	case codes.NotFound:
		return fmt.Errorf("pubsub: %s %s is missing; `earshot preflight --create` makes it", kind, name)
	case codes.PermissionDenied:
		return fmt.Errorf("pubsub: no right to look at %s %s; grant the service account roles/pubsub.viewer, or look with an account that has it: %w", kind, name, err)
	default:
		return fmt.Errorf("pubsub: look at %s %s: %w", kind, name, err)
	}
}
