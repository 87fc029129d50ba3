package api

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	apiv1 "github.com/earshot-fm/earshot/deploy/schema/earshot/api/v1"
	"github.com/earshot-fm/earshot/workers/index"
)

func TestGet(t *testing.T) {
	r := start(t, Options{})
	get := func(id *string) (*apiv1.Episode, error) {
		answer, err := r.client(connect.WithGRPC()).Get(t.Context(), &apiv1.GetRequest{Id: id})
		return answer.GetEpisode(), err
	}
	_, err := get(proto.String("x"))
	refused(t, err, connect.CodeNotFound, `no episode "x"`)
	_, err = get(nil)
	refused(t, err, connect.CodeInvalidArgument, "id: missing")
	_, err = get(proto.String("../x"))
	refused(t, err, connect.CodeInvalidArgument, "id: ")
	r.index.hold(tombstone(9), nil)
	if e, err := get(proto.String("x")); err != nil || !e.GetRemoved() || e.GetVersion().GetRevision() != 9 || e.Title != nil {
		t.Errorf("%v, %v", e, err)
	}
	r.index.hold(index.Entry{}, errors.New("node 10.0.0.7 is gone"))
	_, err = get(proto.String("x"))
	refused(t, err, connect.CodeUnavailable, "try again")
	retryable(t, err)
	if strings.Contains(err.Error(), "10.0.0.7") {
		t.Error(err)
	}
}

func TestSearchAsksTheIndexWhatItIsAsked(t *testing.T) {
	r := start(t, Options{})
	var asked index.Query
	r.index.search = func(_ context.Context, q index.Query) (index.Page, error) {
		asked = q
		return index.Page{}, nil
	}
	for _, c := range []struct {
		request *apiv1.SearchRequest
		want    index.Query
	}{
		{&apiv1.SearchRequest{}, index.Query{Open: "<em>", Close: "</em>"}},
		{&apiv1.SearchRequest{
			Text: proto.String("goal*"), Like: proto.String("y"), Podcast: proto.String("p"), Language: proto.String("en"), Topic: proto.String("Sports"),
			Event: proto.String("Cheering"), PublishedFrom: proto.String("2026-11-29T13:00:00+01:00"), PublishedBefore: proto.String("2026-11-30T12:00:00Z"),
			Offset: proto.Int32(1), Limit: proto.Int32(2), Moments: proto.Int32(3), Open: proto.String(""), Close: proto.String(""),
		}, index.Query{Text: "goal*", Like: "y", Podcast: "p", Language: "en", Topic: "Sports", Event: "Cheering",
			PublishedFrom: noon, PublishedBefore: noon.Add(24 * time.Hour), Offset: 1, Limit: 2, Moments: 3}},
	} {
		if _, err := r.client().Search(t.Context(), c.request); err != nil {
			t.Fatal(err)
		}
		asked.PublishedFrom, asked.PublishedBefore = asked.PublishedFrom.UTC(), asked.PublishedBefore.UTC()
		if !reflect.DeepEqual(asked, c.want) {
			t.Errorf("%+v, want %+v", asked, c.want)
		}
	}
	// Every field of a query can be asked for.
	if got, want := reflect.TypeFor[index.Query]().NumField(), (*apiv1.SearchRequest)(nil).ProtoReflect().Descriptor().Fields().Len(); got != want {
		t.Errorf("the query has %d fields, the request %d", got, want)
	}
	status, answer := r.post("/earshot.api.v1.Earshot/Search", "{}")
	for _, list := range []string{"hits"} {
		if status != 200 || !strings.Contains(strings.ReplaceAll(answer, " ", ""), `"`+list+`":[]`) {
			t.Errorf("an empty list is left out: %s", answer)
		}
	}
}

func TestASearchThatCannotBeUnderstoodIsRefusedWithItsField(t *testing.T) {
	_, x := embedded(t)
	r := start(t, Options{Index: x})
	for field, m := range map[string]*apiv1.SearchRequest{
		"text":             {Text: proto.String("-only")},
		"limit":            {Limit: proto.Int32(101)},
		"offset":           {Offset: proto.Int32(-1)},
		"moments":          {Moments: proto.Int32(51)},
		"published_from":   {PublishedFrom: proto.String("yesterday")},
		"published_before": {PublishedFrom: proto.String("2026-11-29T12:00:00Z"), PublishedBefore: proto.String("2026-11-29T12:00:00Z")},
	} {
		_, err := r.client().Search(t.Context(), m)
		refused(t, err, connect.CodeInvalidArgument, field+": ")
		if f := fieldOf(t, err); f != field {
			t.Errorf("%v: field %q", m, f)
		}
	}
	_, err := r.client().Search(t.Context(), &apiv1.SearchRequest{Like: proto.String("y")})
	refused(t, err, connect.CodeNotFound, `no episode "y"`)
	r2 := start(t, Options{})
	r2.index.search = func(context.Context, index.Query) (index.Page, error) { return index.Page{}, errors.New("no node") }
	_, err = r2.client().Search(t.Context(), &apiv1.SearchRequest{})
	refused(t, err, connect.CodeUnavailable, "")
	retryable(t, err)
}
