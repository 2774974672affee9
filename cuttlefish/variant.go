package cuttlefish

import (
	"encoding/json"
	"fmt"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// A variant is one of several objects that a member with its name tells apart: a
// payload, a control command, an input event. Messages are not among them: they have
// forms without such a member.

// rest takes the members of a variant that is not known.
type rest struct {
	Extra Fields `json:"-"`
}

// scanVariant reads the name of a variant. The object must be freed.
func scanVariant(data []byte, union, discriminator string) (o *jsonx.Object, name string, err error) {
	if o, err = jsonx.Scan(data); err != nil {
		return nil, "", decodeError(union, err, nil)
	}
	err = errMissing
	if value, ok := o.Get(discriminator); ok {
		if text, ok := jsonx.Text(value); ok {
			return o, string(text), nil
		}
		err = jsonx.ErrType
	}
	o.Free()
	return nil, "", &DecodeError{Type: union, Field: discriminator, Err: err}
}

// decodeVariant reads a variant into the struct that v points to.
func decodeVariant[V any](o *jsonx.Object, discriminator, name string, v V) (V, error) {
	if err := o.Decode(v, discriminator, false); err != nil {
		var none V
		return none, decodeError(name, err, nil)
	}
	return v, nil
}

// encodeVariant writes a variant, its name first.
func encodeVariant(union, discriminator, name string, v any) (json.RawMessage, error) {
	b, err := jsonx.Append(nil, discriminator, name, v)
	if err != nil {
		return nil, fmt.Errorf("cuttlefish: encode %s %s: %w", union, name, err)
	}
	return b, nil
}

// validateVariant checks the further members of variant v.
func (f Fields) validateVariant(v any, name, discriminator string) error {
	return f.validateAt(v, name, "", discriminator, memberLevel)
}
