package pubsub

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// Create makes what Check finds missing, and sets right what is wrong where that
// harms nobody; it may be run again and again. What else is wrong stays, for
// Check to say. note is told what was made or changed, and what cannot be made
// here. Its error is of all that failed.
func (c *Client) Create(ctx context.Context, note func(string)) error {
	var all []error
	fail := func(err error) {
		if err != nil {
			all = append(all, err)
		}
	}
	schemas := c.schemasServed(ctx, note)
	if schemas {
		for _, s := range []*schema{published, removed, enriched} {
			fail(c.register(ctx, s, note))
		}
	}
	for _, p := range c.places() {
		fail(c.createTopic(ctx, p, schemas, note))
		if p.subscription != "" {
			fail(c.createSubscription(ctx, p, note))
		}
	}
	return errors.Join(all...)
}

// register makes the schema, or adds this version's definition as a revision. A
// later version's stays what it is.
func (c *Client) register(ctx context.Context, s *schema, note func(string)) error {
	there, err := c.registered(ctx, s)
	if err == nil {
		return nil
	}
	definition := &pubsubpb.Schema{Name: c.schemaName(s), Type: pubsubpb.Schema_PROTOCOL_BUFFER, Definition: s.definition}
	if there {
		_, err = c.schemas.CommitSchema(ctx, &pubsubpb.CommitSchemaRequest{Name: c.schemaName(s), Schema: definition})
	} else {
		_, err = c.schemas.CreateSchema(ctx, &pubsubpb.CreateSchemaRequest{Parent: "projects/" + c.options.Project, SchemaId: s.id, Schema: definition})
	}
	return made("schema", c.schemaName(s), err, note)
}

func (c *Client) createTopic(ctx context.Context, p place, schemas bool, note func(string)) error {
	t := &pubsubpb.Topic{Name: c.topic(p.id)}
	if p.schema != nil && schemas {
		t.SchemaSettings = c.schemaSettings(p.schema)
	}
	if _, err := c.topics.GetTopic(ctx, &pubsubpb.GetTopicRequest{Topic: t.Name}); status.Code(err) != codes.NotFound {
		return made("topic", t.Name, err, nil)
	}
	_, err := c.topics.CreateTopic(ctx, t)
	return made("topic", t.Name, err, note)
}

func (c *Client) createSubscription(ctx context.Context, p place, note func(string)) error {
	want := c.wanted(p)
	got, err := c.subs.GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{Subscription: want.Name})
	if status.Code(err) == codes.NotFound {
		_, err = c.subs.CreateSubscription(ctx, want)
		return made("subscription", want.Name, err, note)
	}
	if err != nil {
		return made("subscription", want.Name, err, nil)
	}
	var paths []string
	for _, f := range c.compare(p, got) {
		paths = append(paths, f.paths...)
	}
	if len(paths) == 0 {
		return nil
	}
	_, err = c.subs.UpdateSubscription(ctx, &pubsubpb.UpdateSubscriptionRequest{Subscription: want, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths}})
	if err != nil {
		return fmt.Errorf("pubsub: set %s of subscription %s: %w", strings.Join(paths, ", "), want.Name, advised(err))
	}
	note(fmt.Sprintf("subscription %s: set %s", want.Name, strings.Join(paths, ", ")))
	return nil
}

// made tells of what was made. Another process may have been faster.
func made(kind, name string, err error, note func(string)) error {
	switch {
	case status.Code(err) == codes.AlreadyExists:
		return nil
	case status.Code(err) == codes.PermissionDenied:
		return fmt.Errorf("pubsub: no right to make %s %s; let an account with roles/pubsub.editor run `earshot preflight --create`: %w", kind, name, err)
	case err != nil:
		return fmt.Errorf("pubsub: make %s %s: %w", kind, name, err)
	}
	if note != nil {
		note(kind + " " + name + ": made")
	}
	return nil
}

func isDone(err error) bool { return errors.Is(err, iterator.Done) }
