package elastic

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	es "github.com/olivere/elastic/v7"
)

// bulkBytes is the most that one bulk request has, and so almost every episode
// is one request. Proxies allow 10 MB and more.
const bulkBytes = 8 << 20

// done is what became of an item.
type done struct {
	index string // the one behind the alias
	fault *fault // nil: done
}

// overtaken: something newer is there.
func (d done) overtaken() bool { return d.fault != nil && d.fault.status == http.StatusConflict }

// bulk sends items, in as many requests as their size asks for, one after the
// other, and says of each what became of it: what was too busy was tried again,
// and what is too large by itself is a refusal. Its error, of a request and
// not of an item, leaves open what was done.
func (x *Index) bulk(ctx context.Context, items []item, refresh Refresh) ([]done, error) {
	results := make([]done, 0, len(items))
	for len(items) > 0 {
		n, size := 1, items[0].bytes()
		for n < len(items) && size+items[n].bytes() <= bulkBytes {
			size += items[n].bytes()
			n++
		}
		part, err := x.send(ctx, items[:n], refresh)
		if err != nil {
			return nil, err
		}
		results, items = append(results, part...), items[n:]
	}
	return results, nil
}

// send makes one request of items, or several where one is too large.
func (x *Index) send(ctx context.Context, items []item, refresh Refresh) ([]done, error) {
	results := make([]done, len(items))
	waiting := make([]int, len(items)) // which items
	for i := range items {
		waiting[i] = i
	}
	err := x.call(ctx, func(ctx context.Context) error {
		request := es.NewBulkService(x.client).Refresh(string(refresh))
		for _, i := range waiting {
			request.Add(items[i])
		}
		answer, err := request.Do(ctx)
		if err != nil {
			return err
		}
		if len(answer.Items) != len(waiting) {
			return fmt.Errorf("%d items were sent, and %d answered for", len(waiting), len(answer.Items))
		}
		var again []int
		var busy *fault
		for at, i := range waiting {
			results[i] = outcome(answer.Items[at])
			// A blocked index will not be written to any more: the caller starts anew.
			if f := results[i].fault; f != nil && f.transient() && !f.blocked() {
				again, busy = append(again, i), f
			}
		}
		if len(again) > 0 {
			waiting = again
			return busy
		}
		return nil
	})
	if !isStatus(err, http.StatusRequestEntityTooLarge) {
		return results, err
	}
	if len(items) == 1 {
		f, _ := errors.AsType[*fault](err)
		f.kind, f.reason = "too_large", fmt.Sprintf("%d bytes are more than it takes in one request", items[0].bytes())
		return []done{{fault: f}}, nil
	}
	// Nothing of a request that is too large was done.
	first, err := x.send(ctx, items[:len(items)/2], refresh)
	if err != nil {
		return nil, err
	}
	second, err := x.send(ctx, items[len(items)/2:], refresh)
	return append(first, second...), err
}

func outcome(answer map[string]*es.BulkResponseItem) done {
	for _, i := range answer {
		if i == nil {
			break
		}
		d := done{index: i.Index}
		if i.Status >= 200 && i.Status < 300 && i.Error == nil {
			return d
		}
		d.fault = &fault{status: i.Status}
		if i.Error != nil {
			d.fault.kind, d.fault.reason = i.Error.Type, reason(i.Error)
		}
		return d
	}
	return done{fault: &fault{err: errors.New("its answer does not say what became of an item")}}
}
