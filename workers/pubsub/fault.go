package pubsub

import (
	"errors"
	"fmt"
	"strings"

	"github.com/googleapis/gax-go/v2/apierror"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// refused says that the service understood a call and will not do it until
// somebody changes something. Other failures pass.
func refused(err error) bool {
	switch status.Code(err) {
	case codes.PermissionDenied, codes.Unauthenticated, codes.NotFound, codes.InvalidArgument, codes.FailedPrecondition, codes.Unimplemented:
		return true
	default:
		return false
	}
}

// advised adds to a refusal what to do about it.
func advised(err error) error {
	switch status.Code(err) {
	case codes.NotFound:
		return fmt.Errorf("%w (`earshot preflight --create` makes what is missing)", err)
	case codes.PermissionDenied:
		return fmt.Errorf("%w (grant the service account roles/pubsub.subscriber and roles/pubsub.publisher; docs/pubsub.md)", err)
	case codes.Unauthenticated:
		return fmt.Errorf("%w (are the credentials valid? GOOGLE_APPLICATION_CREDENTIALS or the machine's service account)", err)
	default:
		return err
	}
}

// expired says whether the service, in what it tells of each message of a call
// on a subscription with exactly-once delivery, calls this lease over.
func expired(err error, ackID string) bool {
	var fault *apierror.APIError
	return errors.As(err, &fault) && strings.HasPrefix(fault.Metadata()[ackID], "PERMANENT_FAILURE")
}
