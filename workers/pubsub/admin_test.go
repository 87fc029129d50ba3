package pubsub

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/earshot-fm/earshot/workers/message"
)

// bare is a client of a project that has nothing.
func bare(t *testing.T, address, project string, encoding message.Encoding) *Client {
	t.Helper()
	c, err := Open(t.Context(), Options{Project: project, Emulator: address, Encoding: encoding})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func check(t *testing.T, c *Client) (faults, notes []string) {
	t.Helper()
	for _, err := range c.Check(t.Context(), func(note string) { notes = append(notes, note) }) {
		faults = append(faults, err.Error())
	}
	return faults, notes
}

func create(t *testing.T, c *Client) (notes []string) {
	t.Helper()
	if err := c.Create(t.Context(), func(note string) { notes = append(notes, note) }); err != nil {
		t.Fatal(err)
	}
	return notes
}

// One run names all that is missing; all of it is made in one run; a second makes
// nothing.
func TestCreateMakesWhatCheckFindsMissing(t *testing.T) {
	eachService(t, func(t *testing.T, address func(*testing.T) string) {
		c := bare(t, address(t), fmt.Sprintf("admin-%d", projects.Add(1)), message.Binary)
		faults, notes := check(t, c)
		want := []string{"topics/earshot-live", "topics/earshot-backlog", "topics/earshot-removals", "topics/earshot-enriched", "topics/earshot-dead-letters",
			"subscriptions/earshot-live", "subscriptions/earshot-backlog", "subscriptions/earshot-removals", "subscriptions/earshot-dead-letters"}
		schemas := !strings.Contains(strings.Join(notes, "\n"), "Protocol buffer support not implemented")
		if schemas {
			want = append(want, "schemas/earshot.events.v1.EpisodePublished", "schemas/earshot.events.v1.EpisodeRemoved", "schemas/earshot.events.v1.EpisodeEnriched")
		}
		for _, name := range want {
			if !slices.ContainsFunc(faults, func(f string) bool {
				return strings.Contains(f, name+" is missing; `earshot preflight --create` makes it")
			}) {
				t.Errorf("%s is missing, and nothing says so: %q", name, faults)
			}
		}
		if len(faults) != len(want) {
			t.Errorf("%d faults: %q", len(faults), faults)
		}
		made := create(t, c)
		for _, name := range want {
			if !slices.ContainsFunc(made, func(m string) bool { return strings.HasSuffix(m, name+": made") }) {
				t.Errorf("%s was not made: %q", name, made)
			}
		}
		if faults, _ := check(t, c); len(faults) != 0 {
			t.Errorf("wrong after all was made: %q", faults)
		}
		if again := create(t, c); slices.ContainsFunc(again, func(n string) bool { return strings.Contains(n, "made") || strings.Contains(n, "set") }) {
			t.Errorf("made again: %q", again)
		}
	})
}

func TestTheLayoutThatIsMade(t *testing.T) {
	c := bare(t, inMemory(t).Address, "p", message.JSON)
	create(t, c)
	for id, s := range map[string]*schema{"earshot-live": published, "earshot-backlog": published, "earshot-removals": removed, "earshot-enriched": enriched} {
		topic, err := c.topics.GetTopic(t.Context(), &pubsubpb.GetTopicRequest{Topic: c.topic(id)})
		if err != nil {
			t.Fatal(err)
		}
		if got := topic.SchemaSettings; got.GetSchema() != "projects/p/schemas/"+s.id || got.GetEncoding() != pubsubpb.Encoding_JSON {
			t.Errorf("%s: %v", id, got)
		}
		got, err := c.schemas.GetSchema(t.Context(), &pubsubpb.GetSchemaRequest{Name: c.schemaName(s)})
		if err != nil || got.Definition != s.definition || got.Type != pubsubpb.Schema_PROTOCOL_BUFFER {
			t.Errorf("%s: %v", s.id, err)
		}
	}
	s, err := c.subs.GetSubscription(t.Context(), &pubsubpb.GetSubscriptionRequest{Subscription: c.subscription("earshot-live")})
	if err != nil {
		t.Fatal(err)
	}
	if s.Topic != c.topic("earshot-live") || s.AckDeadlineSeconds != 60 || s.EnableExactlyOnceDelivery || s.EnableMessageOrdering ||
		s.MessageRetentionDuration.AsDuration() != emulatorRetention || s.ExpirationPolicy == nil || s.ExpirationPolicy.Ttl != nil ||
		s.DeadLetterPolicy.DeadLetterTopic != c.topic("earshot-dead-letters") || s.DeadLetterPolicy.MaxDeliveryAttempts != 100 ||
		s.RetryPolicy.MinimumBackoff.AsDuration() != time.Second || s.RetryPolicy.MaximumBackoff.AsDuration() != longestBackoff {
		t.Errorf("%v", s)
	}
}

// Each way in which a subscription can be wrong has its own word, and is set
// right where that harms nobody.
func TestWhatIsWrongIsSaidAndSetRightWhereThatIsSafe(t *testing.T) {
	for name, test := range map[string]struct {
		id    string
		paths []string
		spoil func(c *Client, s *pubsubpb.Subscription)
		says  string
		mends bool
	}{
		"no dead-letter policy": {"earshot-live", []string{"dead_letter_policy"}, func(_ *Client, s *pubsubpb.Subscription) { s.DeadLetterPolicy = nil }, "no dead-letter policy", true},
		"an impatient policy":   {"earshot-live", []string{"dead_letter_policy"}, func(_ *Client, s *pubsubpb.Subscription) { s.DeadLetterPolicy.MaxDeliveryAttempts = 5 }, "after 5 deliveries", true},
		"a policy to elsewhere": {"earshot-live", []string{"dead_letter_policy"}, func(c *Client, s *pubsubpb.Subscription) {
			s.DeadLetterPolicy.DeadLetterTopic = c.topic("earshot-enriched")
		}, "sends to projects/p/topics/earshot-enriched", false},
		"no retry policy":     {"earshot-backlog", []string{"retry_policy"}, func(_ *Client, s *pubsubpb.Subscription) { s.RetryPolicy = nil }, "no retry policy", true},
		"a slow retry policy": {"earshot-backlog", []string{"retry_policy"}, func(_ *Client, s *pubsubpb.Subscription) { s.RetryPolicy.MinimumBackoff = durationpb.New(time.Minute) }, "waits for 1m0s", true},
		"a long deadline":     {"earshot-removals", []string{"ack_deadline_seconds"}, func(_ *Client, s *pubsubpb.Subscription) { s.AckDeadlineSeconds = 600 }, "after 10m0s", true},
		"a policy on takedowns": {"earshot-removals", []string{"dead_letter_policy"}, func(c *Client, s *pubsubpb.Subscription) {
			s.DeadLetterPolicy = &pubsubpb.DeadLetterPolicy{DeadLetterTopic: c.topic("earshot-dead-letters"), MaxDeliveryAttempts: 100}
		}, "takes a takedown away after 100 deliveries", true},
		"short retention": {"earshot-live", []string{"message_retention_duration"}, func(_ *Client, s *pubsubpb.Subscription) { s.MessageRetentionDuration = durationpb.New(time.Hour) }, "kept for 1h0m0s", true},
		"letters that expire": {"earshot-dead-letters", []string{"expiration_policy"}, func(_ *Client, s *pubsubpb.Subscription) {
			s.ExpirationPolicy = &pubsubpb.ExpirationPolicy{Ttl: durationpb.New(24 * time.Hour)}
		}, "expiration policy", true},
		"a push subscription": {"earshot-live", []string{"push_config"}, func(_ *Client, s *pubsubpb.Subscription) {
			s.PushConfig = &pubsubpb.PushConfig{PushEndpoint: "https://example.org"}
		}, "pull subscription", false},
		"dead letters of dead letters": {"earshot-dead-letters", []string{"dead_letter_policy"}, func(c *Client, s *pubsubpb.Subscription) {
			s.DeadLetterPolicy = &pubsubpb.DeadLetterPolicy{DeadLetterTopic: c.topic("earshot-enriched"), MaxDeliveryAttempts: 5}
		}, "remove the policy", false},
		"letters that hide": {"earshot-dead-letters", []string{"retry_policy"}, func(_ *Client, s *pubsubpb.Subscription) {
			s.RetryPolicy = &pubsubpb.RetryPolicy{MinimumBackoff: durationpb.New(time.Minute)}
		}, "hides the letters", false},
	} {
		t.Run(name, func(t *testing.T) {
			c := bare(t, inMemory(t).Address, "p", message.Binary)
			create(t, c)
			s, err := c.subs.GetSubscription(t.Context(), &pubsubpb.GetSubscriptionRequest{Subscription: c.subscription(test.id)})
			if err != nil {
				t.Fatal(err)
			}
			test.spoil(c, s)
			if _, err := c.subs.UpdateSubscription(t.Context(), &pubsubpb.UpdateSubscriptionRequest{Subscription: s, UpdateMask: &fieldmaskpb.FieldMask{Paths: test.paths}}); err != nil {
				t.Fatal(err)
			}
			faults, _ := check(t, c)
			if len(faults) != 1 || !strings.Contains(faults[0], "subscriptions/"+test.id) || !strings.Contains(faults[0], test.says) {
				t.Fatalf("%q, want %s", faults, test.says)
			}
			notes := create(t, c)
			left, _ := check(t, c)
			if mended := len(left) == 0; mended != test.mends || mended != slices.Contains(notes, "subscription "+c.subscription(test.id)+": set "+test.paths[0]) {
				t.Errorf("left: %q, said: %q", left, notes)
			}
		})
	}
}

func TestASubscriptionOfAnotherTopicIsToldAndStays(t *testing.T) {
	c := bare(t, inMemory(t).Address, "p", message.Binary)
	if _, err := c.topics.CreateTopic(t.Context(), &pubsubpb.Topic{Name: c.topic("other")}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.subs.CreateSubscription(t.Context(), &pubsubpb.Subscription{Name: c.subscription("earshot-live"), Topic: c.topic("other"), AckDeadlineSeconds: 60}); err != nil {
		t.Fatal(err)
	}
	create(t, c)
	faults, _ := check(t, c)
	if len(faults) != 1 || !strings.Contains(faults[0], "attached to topic projects/p/topics/other") {
		t.Errorf("%q", faults)
	}
}

func TestTopicsHeldToOtherSchemas(t *testing.T) {
	c := bare(t, inMemory(t).Address, "p", message.Binary)
	for id, settings := range map[string]*pubsubpb.SchemaSettings{
		"earshot-live":     nil,
		"earshot-removals": {Schema: c.schemaName(removed), Encoding: pubsubpb.Encoding_JSON},
		"earshot-backlog":  {Schema: "projects/p/schemas/theirs", Encoding: pubsubpb.Encoding_BINARY},
	} {
		if _, err := c.topics.CreateTopic(t.Context(), &pubsubpb.Topic{Name: c.topic(id), SchemaSettings: settings}); err != nil {
			t.Fatal(err)
		}
	}
	create(t, c)
	faults, _ := check(t, c)
	all := strings.Join(faults, "\n")
	for _, want := range []string{"earshot-live is held to no schema.*gcloud pubsub topics update .*--message-encoding=binary", "earshot-removals takes the encoding JSON", "earshot-backlog is held to the schema projects/p/schemas/theirs"} {
		if !regexp.MustCompile(want).MatchString(all) {
			t.Errorf("%q says nothing of %s", faults, want)
		}
	}
	if len(faults) != 3 {
		t.Errorf("%q", faults)
	}
}

// A new version adds its definition; an old one that runs once more changes
// nothing.
func TestSchemasGrowByRevisions(t *testing.T) {
	c := bare(t, inMemory(t).Address, "p", message.Binary)
	old := &schema{published.id, `syntax = "proto3"; message EpisodePublished { string id = 1; }`}
	var notes []string
	note := func(s string) { notes = append(notes, s) }
	for _, s := range []*schema{old, published, old, published} {
		if err := c.register(t.Context(), s, note); err != nil {
			t.Fatal(err)
		}
	}
	got, err := c.schemas.GetSchema(t.Context(), &pubsubpb.GetSchemaRequest{Name: c.schemaName(published)})
	if err != nil || got.Definition != published.definition || len(notes) != 2 {
		t.Errorf("%.100s, %q, %v", got.GetDefinition(), notes, err)
	}
}

// Each thing that may not be looked at or made is a fault of its own.
func TestMissingRightsAreFaults(t *testing.T) {
	denied := func(method string) pstest.ServerReactorOption {
		return on(method, &script{always: status.Error(codes.PermissionDenied, "you may not")})
	}
	c := bare(t, inMemory(t, denied("GetTopic"), denied("GetSubscription")).Address, "p", message.Binary)
	faults, _ := check(t, c)
	if all := strings.Join(faults, "\n"); strings.Count(all, "grant the service account roles/pubsub.viewer") != 5+4 || len(faults) != 5+4+3 {
		t.Errorf("%d faults: %q", len(faults), faults)
	}
	c = bare(t, inMemory(t, denied("CreateTopic"), denied("CreateSchema")).Address, "p", message.Binary)
	err := c.Create(t.Context(), func(string) {})
	if err == nil || strings.Count(err.Error(), "roles/pubsub.editor") != 3+5 {
		t.Errorf("%v", err)
	}
}
