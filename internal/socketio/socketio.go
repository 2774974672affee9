// Package socketio reads and writes the packets of Socket.IO, protocols 5 and 4: what an
// Engine.IO message carries. It does no I/O and keeps no connection; who speaks Socket.IO
// steps its own machine with what it finds here.
//
//	<type>[<attachments>-][/<namespace>,][<id>][<JSON>]
//
// A packet with attachments is a text, and as many binary messages right behind it: an
// [Assembler] puts them together. In the JSON an attachment is an object
// {"_placeholder":true,"num":0}.
package socketio

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
)

// Default is the namespace that every connection has.
const Default = "/"

// MaxAttachments is how many binary messages may belong to a packet, as in
// socket.io-parser 4.2.
const MaxAttachments = 10

// maxDigits is how long the id of a packet may be: JavaScript computes with ids, and up
// to here it does so exactly.
const maxDigits = 15

// maxNamespace bounds the name of a namespace in bytes.
const maxNamespace = 256

// A Type is what a packet is for.
type Type byte

// The types of packets.
const (
	Connect      Type = '0'
	Disconnect   Type = '1'
	Event        Type = '2'
	Ack          Type = '3'
	ConnectError Type = '4'
	BinaryEvent  Type = '5'
	BinaryAck    Type = '6'
)

// String returns the name of the type.
func (t Type) String() string {
	switch t {
	case Connect:
		return "connect"
	case Disconnect:
		return "disconnect"
	case Event, BinaryEvent:
		return "event"
	case Ack, BinaryAck:
		return "ack"
	case ConnectError:
		return "connect error"
	}
	return "Type(" + strconv.Itoa(int(t)) + ")"
}

// binary reports whether packets of the type have attachments.
func (t Type) binary() bool { return t == BinaryEvent || t == BinaryAck }

// A Packet is one packet without its attachments.
type Packet struct {
	Type        Type
	Attachments int
	Namespace   string // [Default] for ""
	ID          ID
	Data        []byte // JSON, not checked; empty for none
}

// An ID is the number of an event that wants an acknowledgement, or of the event that an
// acknowledgement is for. The zero ID is none. IDs are compared with ==.
type ID struct {
	n uint64 // the number and one
}

// NewID returns the ID of that number.
func NewID(n uint64) ID { return ID{n + 1} }

// Number returns the number, and false for none.
func (id ID) Number() (n uint64, ok bool) { return id.n - 1, id.n != 0 }

// String returns the number in decimal, or "".
func (id ID) String() string {
	if id.n == 0 {
		return ""
	}
	return strconv.FormatUint(id.n-1, 10)
}

// What is wrong with a packet.
var (
	ErrType        = errors.New("unknown type of packet")
	ErrAttachments = errors.New("wrong attachments")
	ErrNamespace   = errors.New("wrong namespace")
	ErrID          = errors.New("id too long")
	ErrPayload     = errors.New("wrong payload")
	ErrBinary      = errors.New("unexpected binary message")
	ErrIncomplete  = errors.New("text where an attachment is due")
	ErrTooBig      = errors.New("attachments too big")
)

// Parse cuts a text into the parts of its packet. Data points into text.
func Parse(text []byte) (p Packet, err error) {
	if len(text) == 0 || text[0] < byte(Connect) || text[0] > byte(BinaryAck) {
		return p, ErrType
	}
	p.Type, p.Namespace = Type(text[0]), Default
	rest := text[1:]
	if p.Type.binary() {
		n := digits(rest)
		if n == 0 || n > 2 || n == len(rest) || rest[n] != '-' {
			return p, ErrAttachments
		}
		if p.Attachments = int(number(rest[:n])); p.Attachments == 0 || p.Attachments > MaxAttachments {
			return p, ErrAttachments
		}
		rest = rest[n+1:]
	}
	if len(rest) > 0 && rest[0] == '/' {
		end := 0
		for end < len(rest) && rest[end] != ',' {
			end++
		}
		if end > maxNamespace || !utf8.Valid(rest[:end]) {
			return p, ErrNamespace
		}
		if end > 1 {
			p.Namespace = string(rest[:end])
		}
		rest = rest[min(end+1, len(rest)):]
	}
	if n := digits(rest); n > maxDigits {
		return p, ErrID
	} else if n > 0 {
		p.ID = NewID(number(rest[:n]))
		rest = rest[n:]
	}
	p.Data = rest
	return p, nil
}

func digits(b []byte) (n int) {
	for n < len(b) && '0' <= b[n] && b[n] <= '9' {
		n++
	}
	return n
}

func number(digits []byte) (n uint64) {
	for _, c := range digits {
		n = 10*n + uint64(c-'0')
	}
	return n
}

// Append appends a packet but for its attachments.
func Append(dst []byte, p Packet) []byte {
	dst = append(dst, byte(p.Type))
	if p.Type.binary() {
		dst = strconv.AppendInt(dst, int64(p.Attachments), 10)
		dst = append(dst, '-')
	}
	if p.Namespace != "" && p.Namespace != Default {
		dst = append(dst, p.Namespace...)
		dst = append(dst, ',')
	}
	if n, ok := p.ID.Number(); ok {
		dst = strconv.AppendUint(dst, n, 10)
	}
	return append(dst, p.Data...)
}

// reserved are the events that no peer may send.
var reserved = map[string]bool{
	"connect": true, "connect_error": true, "disconnect": true,
	"disconnecting": true, "newListener": true, "removeListener": true,
}

// Arguments returns the elements of a packet's JSON, after a check: of an event, its name
// and arguments, of an acknowledgement its arguments. They point into the packet. The
// levels of each are counted as if it were alone.
func Arguments(p Packet) ([]json.RawMessage, error) {
	if err := jsonx.CheckAt(p.Data, 0); err != nil {
		return nil, err
	}
	var args []json.RawMessage
	err := jsonx.Elements(p.Data, func(_ int, element []byte) error {
		args = append(args, element)
		return nil
	})
	if err != nil {
		return nil, ErrPayload
	}
	if p.Type == Event || p.Type == BinaryEvent {
		if len(args) == 0 {
			return nil, ErrPayload
		}
		name, ok := jsonx.Text(args[0])
		if ok && reserved[string(name)] || !ok && (args[0][0] != '-' && digits(args[0]) == 0) {
			return nil, ErrPayload
		}
	}
	if p.Attachments > 0 {
		if err := CheckPlaceholders(p.Data, p.Attachments); err != nil {
			return nil, err
		}
	}
	return args, nil
}

// Reserved reports whether no peer may send an event of that name.
func Reserved(event string) bool { return reserved[event] }

// CheckNamespace reports whether a packet can have a namespace of that name; "" stands for
// [Default].
func CheckNamespace(name string) error {
	if name == "" {
		return nil
	}
	if name[0] != '/' || len(name) > maxNamespace || strings.Contains(name, ",") || !utf8.ValidString(name) {
		return ErrNamespace
	}
	return nil
}

// CheckPayload checks the JSON of a packet that is neither an event nor an acknowledgement.
func CheckPayload(p Packet) error {
	switch {
	case len(p.Data) == 0:
		return nil
	case p.Type == Disconnect:
		return ErrPayload
	}
	if err := jsonx.Check(p.Data); err != nil {
		return err
	}
	text := p.Data[space(p.Data):]
	if text[0] == '{' || p.Type == ConnectError && text[0] == '"' {
		return nil
	}
	return ErrPayload
}

func space(b []byte) (n int) {
	for n < len(b) && (b[n] == ' ' || b[n] == '\t' || b[n] == '\r' || b[n] == '\n') {
		n++
	}
	return n
}

// CheckPlaceholders reports whether every placeholder in the checked JSON of a binary
// packet stands for one of its attachments. A peer that gets others is cut off by its own
// Socket.IO, whoever sent them first.
func CheckPlaceholders(data []byte, attachments int) error {
	var open []object
	isKey := false
	for i := 0; i < len(data); {
		switch c := data[i]; c {
		case '{':
			open = append(open, object{})
			isKey = true
			i++
		case '[':
			open = append(open, object{})
			isKey = false
			i++
		case '}', ']':
			o := open[len(open)-1]
			if o.placeholder && !o.indexed {
				return ErrAttachments
			}
			open = open[:len(open)-1]
			i++
		case ',':
			isKey = len(open) > 0 && open[len(open)-1].key != ""
			i++
		case '"':
			end := i + 1
			for data[end] != '"' {
				if data[end] == '\\' {
					end++
				}
				end++
			}
			end++
			if isKey {
				name, _ := jsonx.Text(data[i:end])
				o := &open[len(open)-1]
				o.key = "." + string(name)                                      // never empty
				o.placeholder = o.placeholder || string(name) == "_placeholder" // old peers take any value for true
				isKey = false
			}
			i = end
		case ':', ' ', '\t', '\r', '\n':
			i++
		default:
			n := 1
			for i+n < len(data) && data[i+n] != ',' && data[i+n] != '}' && data[i+n] != ']' && space(data[i+n:]) == 0 {
				n++
			}
			if len(open) > 0 {
				o := &open[len(open)-1]
				switch text := string(data[i : i+n]); o.key {
				case "._placeholder":
					o.placeholder = text != "false" && text != "null"
				case ".num":
					index, err := jsonx.Int(data[i : i+n])
					o.indexed = err == nil && 0 <= index && index < int64(attachments)
				}
			}
			i += n
		}
	}
	return nil
}

// An object that is being read, or an array, which has no key.
type object struct {
	placeholder, indexed bool
	key                  string
}

// An Assembler puts packets and their attachments together. The zero Assembler is ready.
type Assembler struct {
	// Limit bounds the bytes of a packet with all its attachments; 0 is none.
	Limit int

	text  []byte
	parts [][]byte
	left  int
	size  int
}

// Feed takes the next message of a connection. When a packet is complete it returns its
// text and its attachments; ok is false while attachments are due. The text is data itself
// if there are no attachments, otherwise it and they belong to the caller.
func (a *Assembler) Feed(typ transport.MessageType, data []byte) (text []byte, attachments [][]byte, ok bool, err error) {
	if typ == transport.Binary {
		if a.left == 0 {
			return nil, nil, false, ErrBinary
		}
		if a.size += len(data); a.Limit > 0 && a.size > a.Limit {
			return nil, nil, false, ErrTooBig
		}
		a.parts = append(a.parts, append([]byte{}, data...))
		if a.left--; a.left > 0 {
			return nil, nil, false, nil
		}
		text, attachments = a.text, a.parts
		a.text, a.parts = nil, nil
		return text, attachments, true, nil
	}
	if a.left > 0 {
		return nil, nil, false, ErrIncomplete
	}
	if len(data) == 0 || !Type(data[0]).binary() {
		return data, nil, true, nil
	}
	p, err := Parse(data)
	if err != nil {
		return nil, nil, false, err
	}
	a.text, a.left, a.size = append([]byte{}, data...), p.Attachments, len(data)
	return nil, nil, false, nil
}

// Version returns the version of Engine.IO that a connection speaks: 4 unless it says
// otherwise with a method EngineIO, itself or what it wraps. Protocol 5 of Socket.IO goes
// with version 4, protocol 4 with version 3.
func Version(conn transport.Conn) int {
	for {
		switch c := conn.(type) {
		case interface{ EngineIO() engineio.Version }:
			return int(c.EngineIO())
		case interface{ Unwrap() transport.Conn }:
			conn = c.Unwrap()
		default:
			return int(engineio.V4)
		}
	}
}
