package pubsubtest

import (
	"context"
	"errors"
	"fmt"

	vkit "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// shortest is the shortest acknowledgement deadline that Pub/Sub allows, in
// seconds.
const shortest = 10

// Hasten has what a killed worker held come back as soon as Pub/Sub allows, after
// ten seconds: subscriptions are projects/…/subscriptions/….
func Hasten(ctx context.Context, address string, subscriptions ...string) (err error) {
	client, err := vkit.NewSubscriptionAdminClient(ctx, option.WithEndpoint(address), option.WithoutAuthentication(), option.WithTelemetryDisabled(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		return fmt.Errorf("hasten subscriptions: %w", err)
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	for _, name := range subscriptions {
		_, err := client.UpdateSubscription(ctx, &pubsubpb.UpdateSubscriptionRequest{
			Subscription: &pubsubpb.Subscription{Name: name, AckDeadlineSeconds: shortest},
			UpdateMask:   &fieldmaskpb.FieldMask{Paths: []string{"ack_deadline_seconds"}},
		})
		if err != nil {
			return fmt.Errorf("hasten %s: %w", name, err)
		}
	}
	return nil
}
