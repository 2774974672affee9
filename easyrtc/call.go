package easyrtc

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// The types of the messages that clients exchange about a call besides its signaling. Each
// is the MsgType of a [Msg].
const (
	// MsgDataChannelPrimed says that [DataChannelPrimed] has arrived on the data channel.
	// Browsers send nothing on a channel that they have opened before they get it.
	MsgDataChannelPrimed = "dataChannelPrimed"
	// MsgStreamReceived says that a stream has arrived, see [Msg.StreamReceived].
	MsgStreamReceived = "easyrtc_streamReceived"
	// MsgSupportHalfTrickleICE says that candidates may come before the answer.
	MsgSupportHalfTrickleICE = "supportHalfTrickleIce"
	// MsgICEGatheringDone says that there are no more candidates, to a client that has sent
	// MsgSupportHalfTrickleICE.
	MsgICEGatheringDone = "iceGatheringDone"
)

const (
	// DataChannelLabel is the label of the data channel of a call, which the caller opens.
	DataChannelLabel = "dc"
	// DataChannelPrimed is the first text that each side sends on it.
	DataChannelPrimed = "dataChannelPrimed"
	// MediaIDsField is the api field that names the streams of a client.
	MediaIDsField = "mediaIds"
	// DefaultStream is the name of a stream that nobody has named.
	DefaultStream = "default"
)

// NewDataChannelPrimed returns the answer to [DataChannelPrimed].
func NewDataChannelPrimed(target string) *Msg {
	return &Msg{MsgType: MsgDataChannelPrimed, TargetEasyrtcID: target, MsgData: json.RawMessage(`""`)}
}

// NewSupportHalfTrickleICE returns the permission to send candidates before the answer.
func NewSupportHalfTrickleICE(target string) *Msg {
	return &Msg{MsgType: MsgSupportHalfTrickleICE, TargetEasyrtcID: target, MsgData: json.RawMessage("{}")}
}

// NewICEGatheringDone returns the end of the candidates.
func NewICEGatheringDone(target string) *Msg {
	return &Msg{MsgType: MsgICEGatheringDone, TargetEasyrtcID: target, MsgData: json.RawMessage("{}")}
}

type streamReceived struct {
	StreamName string `json:"streamName"`
}

// NewStreamReceived tells another client that its stream of that name has arrived. The
// error is about a name that is not UTF-8.
func NewStreamReceived(target, name string) (*Msg, error) {
	b, err := jsonx.Append(nil, "", "", &streamReceived{name})
	return &Msg{MsgType: MsgStreamReceived, TargetEasyrtcID: target, MsgData: b}, err
}

// StreamReceived returns the name of the stream that has arrived, in a message of the type
// [MsgStreamReceived]. The error is a [*ValidationError].
func (m *Msg) StreamReceived() (name string, err error) {
	var d streamReceived
	if err := unmarshal(MsgStreamReceived, m.MsgData, &d); err != nil {
		return "", err
	}
	return d.StreamName, nil
}

// MediaIDs returns the ids of the streams of a client by their names, which it shows in the
// api field [MediaIDsField]; nil when it shows none. The error is a [*ValidationError].
func (o *Occupant) MediaIDs() (map[string]string, error) {
	fields, err := o.APIFields()
	if err != nil {
		return nil, err
	}
	value := fields[MediaIDsField].FieldValue
	if jsonx.IsNull(value) {
		return nil, nil
	}
	var ids Fields
	if err := json.Unmarshal(value, &ids); err != nil {
		return nil, &ValidationError{Type: "roomData", Field: "apiField.mediaIds", Reason: "not an object"}
	}
	out := make(map[string]string, len(ids))
	for name, id := range ids {
		text, ok := jsonx.Text(id)
		if !ok {
			return nil, &ValidationError{Type: "roomData", Field: "apiField.mediaIds", Reason: "not texts by name"}
		}
		out[name] = string(text)
	}
	return out, nil
}

// SetMediaIDs sets the field [MediaIDsField] to the ids of streams by their names. The error
// is about texts that are not UTF-8.
func (f FieldMap) SetMediaIDs(ids map[string]string) error {
	b := []byte{'{'}
	for i, name := range slices.Sorted(maps.Keys(ids)) {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = jsonx.AppendString(b, name); err != nil {
			return err
		}
		if b, err = jsonx.AppendString(append(b, ':'), ids[name]); err != nil {
			return err
		}
	}
	f.Set(MediaIDsField, append(b, '}'))
	return nil
}

// StreamName returns the name of a stream, given what [Occupant.MediaIDs] returns and the id
// of the stream, or "" when it has none. As with browsers, an id that begins with the other
// one is enough, because some lose a part of it; the whole one is preferred.
func StreamName(ids map[string]string, id string) string {
	names := slices.Sorted(maps.Keys(ids))
	for _, name := range names {
		if ids[name] == id {
			return name
		}
	}
	for _, name := range names {
		if ids[name] != "" && id != "" && (strings.HasPrefix(id, ids[name]) || strings.HasPrefix(ids[name], id)) {
			return name
		}
	}
	return ""
}

// The limits of the data channel.
const (
	// DefaultChunkUnits is how much of a message on a data channel goes into one text, in
	// UTF-16 units. Longer messages are split, and browsers refuse larger parts.
	DefaultChunkUnits = 1000
	// DefaultDataUnits is the length of the longest message that is put together, in UTF-16
	// units.
	DefaultDataUnits = 1 << 20
	// DefaultTransfers is how many messages are put together at once.
	DefaultTransfers = 4
)

// A DataMessage is a message on the data channel of a call. It has no sender because the
// channel has only one.
type DataMessage struct {
	MsgType string          `json:"msgType"`
	MsgData json.RawMessage `json:"msgData,omitempty"` // any JSON
	Extra   Fields          `json:"-"`
}

// EncodeData returns the texts to send for a message, in their order and with nothing in
// between: one, or more for a message that is longer than chunk UTF-16 units; 0 is
// [DefaultChunkUnits]. transferID then names the message; each one needs another. It fails
// for MsgData that is not JSON and for texts that are not UTF-8.
func EncodeData(m *DataMessage, transferID string, chunk int) ([]string, error) {
	if chunk <= 0 {
		chunk = DefaultChunkUnits
	}
	chunk = max(chunk, 2) // room for a surrogate pair
	b, err := jsonx.Append(nil, "", "", m)
	if err != nil {
		return nil, fmt.Errorf("easyrtc: encode data %s: %w", m.MsgType, err)
	}
	if len(b) <= chunk || units(string(b)) <= chunk {
		return []string{string(b)}, nil
	}
	id, err := jsonx.AppendString(nil, transferID)
	if err != nil {
		return nil, fmt.Errorf("easyrtc: encode data %s: transfer id: %w", m.MsgType, err)
	}
	texts := []string{""}
	for rest := string(b); rest != ""; {
		n := prefix(rest, chunk)
		part, err := jsonx.AppendString(nil, rest[:n])
		if err != nil {
			return nil, fmt.Errorf("easyrtc: encode data %s: %w", m.MsgType, err)
		}
		texts = append(texts, fmt.Sprintf(`{"transferId":%s,"data":%s,"transfer":"chunk"}`, id, part))
		rest = rest[n:]
	}
	texts[0] = fmt.Sprintf(`{"transfer":"start","transferId":%s,"parts":%d}`, id, len(texts)-1)
	return append(texts, fmt.Sprintf(`{"transfer":"end","transferId":%s}`, id)), nil
}

// prefix returns how many bytes of a text have at most n UTF-16 units. It does not split
// surrogate pairs, each half of which would not be a text.
func prefix(text string, n int) int {
	for i, r := range text {
		if n -= max(utf16.RuneLen(r), 1); n < 0 {
			return i
		}
	}
	return len(text)
}

// An Assembler reads what arrives on a data channel. Zero limits mean the defaults. It is
// not safe for concurrent use.
type Assembler struct {
	ChunkUnits int // of a part of a message; more are refused, as by browsers
	DataUnits  int // of a message that comes in parts
	Transfers  int // begun at once; one more gives up the oldest

	open []*transfer // oldest first
}

// A transfer is a message that comes in parts.
type transfer struct {
	id     string
	parts  int
	got    int
	broken bool // a part was refused
	text   []uint16
}

// Receive takes a text and returns the message that it is or completes, if any. The error,
// a [*ValidationError], is about a text that means nothing; what follows may mean something
// again.
func (a *Assembler) Receive(text []byte) (*DataMessage, error) {
	if string(text) == DataChannelPrimed || len(text) == 0 { // old browsers send an empty one
		return nil, nil
	}
	o, err := jsonx.Scan(text)
	if err != nil {
		return nil, dataError("", err.Error())
	}
	defer o.Free()
	kind, isTransfer := o.Text("transfer")
	id, hasID := o.Text("transferId")
	if !isTransfer || !hasID || len(kind) == 0 || len(id) == 0 {
		return dataMessage(o)
	}
	switch string(kind) {
	case "start":
		return nil, a.start(string(id), o)
	case "chunk":
		return nil, a.chunk(string(id), o)
	case "end":
		return a.end(string(id))
	}
	return nil, dataError("transfer", "neither start nor chunk nor end")
}

func dataError(field, reason string) *ValidationError {
	return &ValidationError{Type: "data", Field: field, Reason: reason}
}

func dataMessage(o *jsonx.Object) (*DataMessage, error) {
	if _, ok := o.Text("msgType"); !ok {
		return nil, dataError("msgType", "not a text")
	}
	m := new(DataMessage)
	if err := o.Decode(m, "", false); err != nil {
		return nil, dataError("", err.Error())
	}
	return m, nil
}

func (a *Assembler) find(id string) (int, *transfer) {
	for i, t := range a.open {
		if t.id == id {
			return i, t
		}
	}
	return -1, nil
}

func (a *Assembler) start(id string, o *jsonx.Object) error {
	value, _ := o.Get("parts")
	parts, err := jsonx.Int(value)
	if text, ok := jsonx.Text(value); ok { // browsers parse it
		parts, err = strconv.ParseInt(string(text), 10, 64)
	}
	limit := a.DataUnits
	if limit <= 0 {
		limit = DefaultDataUnits
	}
	if err != nil || parts <= 0 || parts > int64(limit) {
		return dataError("parts", "not a number of parts")
	}
	if i, _ := a.find(id); i >= 0 {
		a.open = slices.Delete(a.open, i, i+1)
	}
	most := a.Transfers
	if most <= 0 {
		most = DefaultTransfers
	}
	if len(a.open) >= most {
		a.open = slices.Delete(a.open, 0, 1)
	}
	a.open = append(a.open, &transfer{id: id, parts: int(parts)})
	return nil
}

func (a *Assembler) chunk(id string, o *jsonx.Object) error {
	_, t := a.find(id)
	if t == nil {
		return dataError("transferId", "of a transfer that has not begun")
	}
	value, _ := o.Get("data")
	if err := a.add(t, value); err != nil {
		t.broken, t.text = true, nil
		return err
	}
	return nil
}

// add takes a part. Once one was refused the others are of no use.
func (a *Assembler) add(t *transfer, value json.RawMessage) error {
	longest, limit := a.ChunkUnits, a.DataUnits
	if longest <= 0 {
		longest = DefaultChunkUnits
	}
	if limit <= 0 {
		limit = DefaultDataUnits
	}
	before := len(t.text)
	switch {
	case t.broken:
		return nil
	case len(value) < 2 || value[0] != '"':
		return dataError("data", "not a text")
	case t.got >= t.parts:
		return dataError("data", "one part too many")
	}
	t.text = appendUnits(t.text, value)
	switch {
	case len(t.text)-before > longest:
		return dataError("data", "too long for a part")
	case len(t.text) > limit:
		return dataError("data", "too much for a message")
	}
	t.got++
	return nil
}

func (a *Assembler) end(id string) (*DataMessage, error) {
	i, t := a.find(id)
	if t == nil {
		return nil, dataError("transferId", "of a transfer that has not begun")
	}
	a.open = slices.Delete(a.open, i, i+1)
	if t.broken || t.got != t.parts {
		return nil, dataError("transfer", "ends without all of its parts")
	}
	text, ok := textOf(t.text)
	if !ok {
		return nil, dataError("data", "half of a surrogate pair")
	}
	o, err := jsonx.Scan(text)
	if err != nil {
		return nil, dataError("data", err.Error())
	}
	defer o.Free()
	return dataMessage(o)
}

// appendUnits appends the UTF-16 units of a checked JSON string. A browser may split a text
// between the halves of a surrogate pair and then writes each as an escape, which a string
// of Go cannot hold.
func appendUnits(dst []uint16, value json.RawMessage) []uint16 {
	s := value[1 : len(value)-1]
	for len(s) > 0 {
		if s[0] != '\\' {
			r, n := utf8.DecodeRune(s)
			dst, s = utf16.AppendRune(dst, r), s[n:]
			continue
		}
		if s[1] == 'u' {
			u, _ := strconv.ParseUint(string(s[2:6]), 16, 16)
			dst, s = append(dst, uint16(u)), s[6:]
			continue
		}
		dst, s = append(dst, unescape(s[1])), s[2:]
	}
	return dst
}

func unescape(c byte) uint16 {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return uint16(c)
}

// textOf returns UTF-16 units as a text, and false for half of a surrogate pair.
func textOf(s []uint16) ([]byte, bool) {
	text := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		r := rune(s[i])
		if utf16.IsSurrogate(r) {
			if i+1 == len(s) {
				return nil, false
			}
			i++
			if r = utf16.DecodeRune(r, rune(s[i])); r == utf8.RuneError {
				return nil, false
			}
		}
		text = utf8.AppendRune(text, r)
	}
	return text, true
}
