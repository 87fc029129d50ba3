package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"

	"modernc.org/sqlite"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
)

func init() {
	sqlite.MustRegisterDeterministicScalarFunction("inner_product", 2, innerProduct)
}

// innerProduct is that of two vectors as pack makes them; NULL for others.
func innerProduct(_ *sqlite.FunctionContext, arguments []driver.Value) (driver.Value, error) {
	a, _ := arguments[0].([]byte)
	b, _ := arguments[1].([]byte)
	if len(a) == 0 || len(a) != len(b) || len(a)%4 != 0 {
		return nil, nil
	}
	sum := 0.0
	for i := 0; i < len(a); i += 4 {
		sum += float64(component(a[i:])) * float64(component(b[i:]))
	}
	return sum, nil
}

func component(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }

// pack writes a vector as little-endian float32.
func pack(values []episode.Component) []byte {
	b := make([]byte, 0, 4*len(values))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v)))
	}
	return b
}

// embedding is that of the episode that others shall be like.
func embedding(ctx context.Context, tx *sql.Tx, id episode.ID) (*episode.Embedding, error) {
	there, err := lookUp(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	if !there.found || there.removed {
		return nil, index.ErrNotFound
	}
	var d index.Document
	if err := json.Unmarshal([]byte(there.document), &d); err != nil {
		return nil, err
	}
	if d.Embedding == nil {
		return nil, &index.QueryError{Field: "Like", Reason: fmt.Sprintf("episode %s has no embedding", id)}
	}
	return d.Embedding, nil
}
