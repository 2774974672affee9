package cuttlefish

import (
	"errors"
	"fmt"
	"strings"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/internal/link"
)

// discriminator is the member that names a message's type.
const discriminator = "message_type"

// Decode reads one message. It does not validate and does not keep data. Its error
// is a [*DecodeError].
//
// Member names match exactly, a duplicate name, invalid UTF-8, data after the object
// and nesting beyond 64 levels are errors. A type that is not known becomes an
// [*Unknown]; members that are not known are kept in Extra. An object without
// message_type is an [*Error] when it has an error, and a [*DeviceInfoMsg] when it
// has a device_info, as the first frame of today's operator.
func Decode(data []byte) (Message, error) { return decode(data, nil) }

// decode is [Decode] for the data of a frame. A [*Forward] takes the frame over, and
// points into it; any other message has nothing to do with it.
func decode(data []byte, frame *link.Frame) (Message, error) {
	o, err := jsonx.Scan(data)
	if err != nil {
		return nil, decodeError("", err, data)
	}
	defer o.Free()
	value, ok := o.Get(discriminator)
	if !ok {
		if _, ok := o.Text("error"); ok {
			return decodeInto(o, new(Error), data, nil)
		}
		if _, ok := o.Get("device_info"); ok {
			return decodeInto(o, new(DeviceInfoMsg), data, nil)
		}
		return nil, decodeError("", &jsonx.Error{Field: discriminator, Err: errMissing}, data)
	}
	typ, ok := jsonx.Text(value)
	if !ok {
		return nil, decodeError("", &jsonx.Error{Field: discriminator, Err: jsonx.ErrType}, data)
	}
	if construct, ok := registry[string(typ)]; ok {
		return decodeInto(o, construct(), data, frame)
	}
	var r rest
	if err := o.Decode(&r, discriminator, false); err != nil {
		return nil, decodeError(string(typ), err, data)
	}
	return &Unknown{Type: string(typ), Extra: r.Extra}, nil
}

// decodeAs reads data as a message of m's type, whatever its message_type says, as
// today's operator does on the device's socket.
func decodeAs(m Message, data []byte, frame *link.Frame) (Message, error) {
	o, err := jsonx.Scan(data)
	if err != nil {
		return nil, decodeError("", err, data)
	}
	defer o.Free()
	return decodeInto(o, m, data, frame)
}

func decodeInto(o *jsonx.Object, m Message, data []byte, frame *link.Frame) (Message, error) {
	f, share := m.(*Forward)
	share = share && frame != nil
	if err := o.Decode(m, discriminator, share); err != nil {
		return nil, decodeError(m.wireType(), err, data)
	}
	if share {
		f.frame = frame
	}
	return m, nil
}

// Encode writes one message: message_type first, then the fields in the order of the
// protocol document, then Extra by name. Raw members are written as they are. There
// is no newline. It fails for raw members that are not JSON and for strings that are
// not UTF-8.
func Encode(m Message) ([]byte, error) {
	b, err := appendMessage(make([]byte, 0, size(m)), m, true)
	if err != nil {
		return nil, fmt.Errorf("cuttlefish: encode %s: %w", name(m), err)
	}
	return b, nil
}

// appendMessage appends the encoding of m. Without check, the raw members are known
// to be JSON.
func appendMessage(dst []byte, m Message, check bool) ([]byte, error) {
	add := jsonx.AppendChecked
	if check {
		add = jsonx.Append
	}
	switch m := m.(type) {
	case *Reconnected:
		return dst, errNotOnWire
	case *Error:
		return add(dst, "", "", m)
	case *Unknown:
		return add(dst, discriminator, m.Type, &rest{m.Extra})
	}
	return add(dst, discriminator, m.wireType(), m)
}

var (
	errMissing   = errors.New("missing")
	errNotOnWire = errors.New("does not exist on the wire")
	errBinary    = errors.New("binary message")
)

// name is what errors call a message.
func name(m Message) string {
	if t := m.wireType(); t != "" {
		return t
	}
	switch m.(type) {
	case *Error:
		return "error"
	case *Reconnected:
		return "reconnected"
	}
	return "message"
}

func decodeError(typ string, err error, data []byte) *DecodeError {
	e := &DecodeError{Type: typ, Err: err}
	if x, ok := errors.AsType[*jsonx.Error](err); ok && x.Field != "" {
		e.Field, e.Err = x.Field, x.Err
	}
	if typ != "" || e.Field != "" || errors.Is(err, jsonx.ErrNotObject) {
		e.frame = excerpt(data)
	}
	return e
}

// excerptLength bounds, in bytes, what of a refused message goes back to its sender.
const excerptLength = 512

// excerpt returns the beginning of a message that is valid UTF-8.
func excerpt(data []byte) string {
	if len(data) <= excerptLength {
		return string(data)
	}
	return strings.ToValidUTF8(string(data[:excerptLength]), "") + "…"
}
