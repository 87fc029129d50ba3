// Package cloudfront purges an origin's names from Amazon CloudFront by
// invalidations.
package cloudfront

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/earshot-fm/earshot/workers/origin"
	"github.com/earshot-fm/earshot/workers/origin/purge"
)

// pathsPerInvalidation is CloudFront's limit for paths without wildcards that
// may be in progress at once in a distribution. Names never become wildcards,
// whose limit is 15.
const pathsPerInvalidation = 3000

// Options say what to purge. Distribution is needed.
type Options struct {
	Distribution string // its id: E…
	Prefix       string // the path that viewers see the origin's root at; zero: /

	// RemovalsOnly leaves out refreshes: CloudFront charges for each path
	// beyond the first thousand of a month, and manifests expire soon.
	RemovalsOnly bool

	API   string // zero: Amazon's
	Retry purge.Retry
}

// Purger is an origin.Purger.
type Purger struct {
	options Options
	prefix  string
	client  *cloudfront.Client
	http    *http.Client
}

// New takes credentials from where Amazon's tools look for them: environment,
// shared files, the machine's role. They need cloudfront:CreateInvalidation on
// the distribution.
func New(ctx context.Context, o Options) (*Purger, error) {
	if o.Distribution == "" {
		return nil, errors.New("cloudfront: no distribution: give its id")
	}
	settings, err := config.LoadDefaultConfig(ctx, config.WithRegion("us-east-1"))
	if err != nil {
		return nil, fmt.Errorf("cloudfront: %w", err)
	}
	p := &Purger{options: o, prefix: "/", http: purge.Client()}
	if prefix := strings.Trim(o.Prefix, "/"); prefix != "" {
		p.prefix = "/" + prefix + "/"
	}
	p.client = cloudfront.NewFromConfig(settings, func(c *cloudfront.Options) {
		c.HTTPClient = p.http
		c.Retryer = aws.NopRetryer{} // purge.Retry does it for all vendors alike
		if o.API != "" {
			c.BaseEndpoint = &o.API
		}
	})
	return p, nil
}

// Name is "cloudfront".
func (p *Purger) Name() string { return "cloudfront" }

// Purge invalidates every name. CloudFront does not tell a refresh from a
// removal: its edges fetch anew.
func (p *Purger) Purge(ctx context.Context, names []string, how origin.Purge) error {
	if how == origin.Refresh && p.options.RemovalsOnly {
		return nil
	}
	for part := range slices.Chunk(names, pathsPerInvalidation) {
		if err := p.invalidate(ctx, part); err != nil {
			return fmt.Errorf("cloudfront: invalidating %d names in distribution %s: %w", len(names), p.options.Distribution, err)
		}
	}
	return nil
}

func (p *Purger) invalidate(ctx context.Context, names []string) error {
	paths := make([]string, len(names))
	for i, name := range names {
		paths[i] = p.prefix + purge.Path(name)
	}
	// CloudFront takes a second request with the same reference for the first.
	// So it stays the same while this purge is tried again, and is another for
	// the next purge of the same names.
	batch := &types.InvalidationBatch{
		CallerReference: aws.String("earshot-" + rand.Text()),
		Paths:           &types.Paths{Quantity: aws.Int32(int32(len(paths))), Items: paths},
	}
	return p.options.Retry.Do(ctx, func(ctx context.Context) error {
		_, err := p.client.CreateInvalidation(ctx, &cloudfront.CreateInvalidationInput{DistributionId: &p.options.Distribution, InvalidationBatch: batch})
		return refusal(err)
	})
}

// refusal makes an error of CloudFront's one that purge.Retry understands.
func refusal(err error) error {
	answer, ok := errors.AsType[*smithyhttp.ResponseError](err)
	if !ok || answer.HTTPStatusCode() == 0 || answer.HTTPStatusCode()/100 == 2 {
		return err // a connection that broke, or an answer that was cut
	}
	detail, throttled := "", false
	if said, ok := errors.AsType[smithy.APIError](err); ok {
		detail = said.ErrorCode() + ": " + said.ErrorMessage()
		// Both come with status 400, and pass.
		throttled = said.ErrorCode() == "TooManyInvalidationsInProgress" || said.ErrorCode() == "Throttling"
	}
	r := purge.NewRefusal(answer.HTTPStatusCode(), answer.Response.Header, detail)
	r.Passes = r.Passes || throttled
	return r
}

// Close lets go of idle connections.
func (p *Purger) Close() { p.http.CloseIdleConnections() }
