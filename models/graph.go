package models

import (
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// Graph is what an ONNX file says about itself: its inputs and outputs, and
// the files beside it that hold tensors. A port whose shape is not given has a
// nil Shape; a scalar's is empty.
type Graph struct {
	Inputs   []Port // without the initializers that old exporters list as inputs
	Outputs  []Port
	External []string // locations of external tensors, as the file gives them
}

// ErrNotONNX is wrapped by ReadGraph's errors about bytes that are no ONNX
// model.
var ErrNotONNX = errors.New("not an ONNX model")

// Field numbers of onnx.proto (ONNX IR version 11, onnx/onnx.proto).
const (
	modelGraph    = 7
	modelFunction = 25
	functionNode  = 7

	graphNode        = 1
	graphInitializer = 5
	graphInput       = 11
	graphOutput      = 12
	graphSparse      = 15

	nodeAttribute    = 5
	attributeTensor  = 5
	attributeGraph   = 6
	attributeTensors = 10
	attributeGraphs  = 11

	sparseValues  = 1
	sparseIndices = 2

	tensorName     = 8
	tensorExternal = 13
	entryKey       = 1
	entryValue     = 2

	valueName   = 1
	valueType   = 2
	typeTensor  = 1
	elemType    = 1
	tensorShape = 2
	shapeDim    = 1
	dimValue    = 1
	dimName     = 2
)

// deepest bounds the graphs within graphs of a file (an If's branches, a Loop's
// body), as protobuf's own readers do: each costs stack.
const deepest = 100

// ReadGraph reads the header of an ONNX model without loading it.
func ReadGraph(onnx []byte) (Graph, error) {
	if isPointer(onnx) {
		return Graph{}, fmt.Errorf("%w: %w", ErrNotONNX, errPointer)
	}
	var g Graph
	found := false
	err := fields(onnx, func(num protowire.Number, v []byte, _ uint64) error {
		switch {
		case num == modelGraph && v != nil:
			found = true
			return g.readGraph(v, 0)
		case num == modelFunction:
			return fields(v, func(num protowire.Number, v []byte, _ uint64) error {
				if num != functionNode {
					return nil
				}
				return g.readNode(v, 0)
			})
		}
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: it has no graph", ErrNotONNX)
	}
	if err != nil {
		return Graph{}, err
	}
	return g, nil
}

// readGraph reads a graph that is so deep within others: 0 is the model's.
func (g *Graph) readGraph(b []byte, depth int) error {
	if depth > deepest {
		return fmt.Errorf("%w: more than %d graphs within one another", ErrNotONNX, deepest)
	}
	initializers := map[string]bool{}
	err := fields(b, func(num protowire.Number, v []byte, _ uint64) error {
		switch num {
		case graphNode:
			return g.readNode(v, depth)
		case graphInitializer:
			name, err := g.readTensor(v)
			initializers[name] = true
			return err
		case graphSparse:
			return fields(v, func(num protowire.Number, v []byte, _ uint64) error {
				if num != sparseValues && num != sparseIndices {
					return nil
				}
				name, err := g.readTensor(v)
				initializers[name] = true
				return err
			})
		case graphInput, graphOutput:
			if depth > 0 {
				return nil
			}
			p, err := readPort(v)
			if num == graphInput {
				g.Inputs = append(g.Inputs, p)
			} else {
				g.Outputs = append(g.Outputs, p)
			}
			return err
		}
		return nil
	})
	if depth == 0 {
		kept := g.Inputs[:0]
		for _, p := range g.Inputs {
			if !initializers[p.Name] {
				kept = append(kept, p)
			}
		}
		g.Inputs = kept
	}
	return err
}

func (g *Graph) readNode(b []byte, depth int) error {
	return fields(b, func(num protowire.Number, v []byte, _ uint64) error {
		if num != nodeAttribute {
			return nil
		}
		return fields(v, func(num protowire.Number, v []byte, _ uint64) error {
			if v == nil {
				return nil
			}
			switch num {
			case attributeTensor, attributeTensors:
				_, err := g.readTensor(v)
				return err
			case attributeGraph, attributeGraphs:
				return g.readGraph(v, depth+1)
			}
			return nil
		})
	})
}

func (g *Graph) readTensor(b []byte) (name string, err error) {
	err = fields(b, func(num protowire.Number, v []byte, _ uint64) error {
		switch num {
		case tensorName:
			name = string(v)
		case tensorExternal:
			var key, value string
			err := fields(v, func(num protowire.Number, v []byte, _ uint64) error {
				switch num {
				case entryKey:
					key = string(v)
				case entryValue:
					value = string(v)
				}
				return nil
			})
			if key == "location" {
				g.External = append(g.External, value)
			}
			return err
		}
		return nil
	})
	return name, err
}

func readPort(b []byte) (Port, error) {
	var p Port
	err := fields(b, func(num protowire.Number, v []byte, _ uint64) error {
		switch num {
		case valueName:
			p.Name = string(v)
		case valueType:
			return fields(v, func(num protowire.Number, v []byte, _ uint64) error {
				if num != typeTensor {
					return nil
				}
				return fields(v, func(num protowire.Number, v []byte, n uint64) error {
					switch num {
					case elemType:
						p.Type = elementType(n)
					case tensorShape:
						return readShape(v, &p)
					}
					return nil
				})
			})
		}
		return nil
	})
	return p, err
}

func readShape(b []byte, p *Port) error {
	p.Shape = []string{}
	return fields(b, func(num protowire.Number, v []byte, _ uint64) error {
		if num != shapeDim {
			return nil
		}
		dim := "?"
		err := fields(v, func(num protowire.Number, v []byte, n uint64) error {
			switch num {
			case dimValue:
				dim = strconv.FormatInt(int64(n), 10)
			case dimName:
				dim = string(v)
			}
			return nil
		})
		p.Shape = append(p.Shape, dim)
		return err
	})
}

// elementType names TensorProto.DataType as manifests do.
func elementType(n uint64) string {
	names := map[uint64]string{1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 8: "string", 9: "bool", 10: "float16", 11: "float64"}
	if s, ok := names[n]; ok {
		return s
	}
	return fmt.Sprintf("type %d", n)
}

// fields calls f for each field of a protobuf message: v is the content of a
// length-delimited field (nil for the others), n a varint's value.
func fields(b []byte, f func(num protowire.Number, v []byte, n uint64) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrNotONNX, protowire.ParseError(n))
		}
		b = b[n:]
		var v []byte
		var x uint64
		switch typ {
		case protowire.BytesType:
			v, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			x, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrNotONNX, protowire.ParseError(n))
		}
		b = b[n:]
		if err := f(num, v, x); err != nil {
			return err
		}
	}
	return nil
}
