package cuttlefish

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A recorded is one text of the traces that is meant to be an envelope or a payload:
// a frame, a body, or an element of a body that is an array.
type recorded struct {
	place    string // file:line, with [index] in an array
	text     string
	envelope bool
}

// recordedFrame is a line of a trace, see testdata/traces/README.md.
type recordedFrame struct {
	Dir         string  `json:"dir"`
	Role        string  `json:"role"`
	Frame       *string `json:"frame"`
	Event       string  `json:"event"`
	Path        string  `json:"path"`
	ContentType string  `json:"content_type"`
}

// readRecorded returns every envelope and payload of the traces. It leaves out what is
// of another protocol: the operator's control socket, lists and descriptions of
// devices, "ok", and bodies of plain text.
func readRecorded(tb testing.TB) []recorded {
	tb.Helper()
	files, err := filepath.Glob("testdata/traces/*.jsonl")
	require.NoError(tb, err)
	require.NotEmpty(tb, files)
	var all []recorded
	for _, path := range files {
		data, err := os.ReadFile(path)
		require.NoError(tb, err)
		lines := bufio.NewScanner(bytes.NewReader(data))
		lines.Buffer(nil, 1<<20)
		for n := 1; lines.Scan(); n++ {
			var f recordedFrame
			require.NoError(tb, json.Unmarshal(lines.Bytes(), &f))
			name := filepath.Base(path)
			if f.Frame != nil && f.Role != "control" {
				all = append(all, f.texts(tb, name, fmt.Sprintf("%s:%d", name, n))...)
			}
		}
		require.NoError(tb, lines.Err())
	}
	return all
}

func (f recordedFrame) texts(tb testing.TB, file, place string) []recorded {
	tb.Helper()
	switch f.Event {
	case "":
		operatorClient := strings.HasPrefix(file, "go-") && f.Role == "client" && f.Dir == "c2s"
		return []recorded{{place, *f.Frame, !operatorClient}}
	case "open-failed":
		return nil // text/plain
	}
	if *f.Frame == "" || strings.HasPrefix(f.ContentType, "text/plain") {
		return nil
	}
	if f.Event == "http" { // a request: its payload, if it has one
		var body struct{ Payload json.RawMessage }
		if json.Unmarshal([]byte(*f.Frame), &body) != nil {
			return []recorded{{place, *f.Frame, false}}
		}
		if body.Payload == nil {
			return nil
		}
		return []recorded{{place, string(body.Payload), false}}
	}
	var elements []json.RawMessage
	if json.Unmarshal([]byte(*f.Frame), &elements) == nil {
		var all []recorded
		for i, e := range elements {
			if members := membersOf(e); members["device_id"] == nil { // not the list of devices
				all = append(all, recorded{fmt.Sprintf("%s[%d]", place, i), string(e), members["message_type"] != nil})
			}
		}
		return all
	}
	if members := membersOf([]byte(*f.Frame)); members == nil || members["registration_info"] != nil {
		return nil // "ok", or the description of a device
	}
	return []recorded{{place, *f.Frame, true}}
}

// membersOf returns the members of an object, nil for anything else.
func membersOf(data []byte) (members map[string]json.RawMessage) {
	if json.Unmarshal(data, &members) != nil {
		return nil
	}
	return members
}

// Why a text is refused.
const (
	notJSON    = "not JSON, sent to see what the server says"
	notObject  = "not an object, sent to see what the server says"
	noType     = "no message_type, or one that is no string: the document's servers refuse it, too"
	wrongType  = "a member of the wrong type: the real servers refuse it, too"
	operatorOK = "no message_type: today's operator alone does not look for it, see decodeAs"
	trailing   = "a second value or words after the first: jsoncpp reads the first alone"
	duplicate  = "a duplicate name: jsoncpp takes the last"
	comment    = "a comment: jsoncpp skips it"
	unescaped  = "not JSON: the C++ server quotes without escaping"
	cut        = "cut in the trace"
	bare       = "any JSON is a payload, but this one is not of the sub-protocol"
	deviceID   = "a device id, in a list of devices"
)

// refused are the texts that the codec refuses on purpose.
var refused = map[string]string{
	"cpp-client-bad-frames.jsonl:3":         notJSON,
	"cpp-client-bad-frames.jsonl:7":         noType,
	"cpp-client-bad-frames.jsonl:11":        noType,
	"cpp-client-bad-frames.jsonl:12":        unescaped,
	"cpp-device-bad-frames.jsonl:3":         notJSON,
	"cpp-device-bad-frames.jsonl:7":         notJSON,
	"cpp-device-bad-frames.jsonl:11":        notObject,
	"cpp-device-bad-frames.jsonl:15":        noType,
	"cpp-device-bad-frames.jsonl:19":        noType,
	"cpp-device-bad-frames.jsonl:20":        unescaped,
	"cpp-device-bad-frames.jsonl:23":        noType,
	"cpp-device-bad-frames.jsonl:24":        unescaped,
	"cpp-device-bad-frames.jsonl:33":        notJSON,
	"cpp-device-bad-frames.jsonl:37":        trailing,
	"cpp-device-bad-frames.jsonl:43":        trailing,
	"cpp-device-bad-frames.jsonl:49":        duplicate,
	"cpp-device-bad-frames.jsonl:53":        notJSON,
	"cpp-device-bad-frames.jsonl:57":        comment,
	"cpp-large-messages.jsonl:9":            cut,
	"cpp-large-messages.jsonl:10":           cut,
	"cpp-large-messages.jsonl:12":           cut,
	"cpp-large-messages.jsonl:13":           cut,
	"cpp-polling.jsonl:6[0]":                deviceID,
	"cpp-polling.jsonl:27":                  bare,
	"cpp-polling.jsonl:28[0]":               bare,
	"cpp-polling.jsonl:32":                  bare,
	"cpp-polling.jsonl:34":                  bare,
	"cpp-polling.jsonl:36":                  notJSON,
	"cpp-polling.jsonl:50":                  bare,
	"cpp-register-duplicate-id.jsonl:15[0]": deviceID,
	"go-device-duplicate-id.jsonl:13":       bare,
	"go-device-forward-errors.jsonl:58":     wrongType,
	"go-device-forward-errors.jsonl:76":     wrongType,
	"go-device-forward-errors.jsonl:85":     notJSON,
	"go-device-forward-errors.jsonl:94":     notObject,
	"go-device-forward-errors.jsonl:103":    notObject,
	"go-device-oversized.jsonl:7":           cut,
	"go-device-oversized.jsonl:8":           cut,
	"go-device-oversized.jsonl:10":          cut,
	"go-device-oversized.jsonl:11":          cut,
	"go-device-oversized.jsonl:13":          cut,
	"go-device-oversized.jsonl:18":          cut,
	"go-device-oversized.jsonl:19":          cut,
	"go-device-oversized.jsonl:22":          cut,
	"go-device-partial-read.jsonl:5":        trailing,
	"go-device-partial-read.jsonl:10":       notJSON,
	"go-device-payload-falsy.jsonl:9":       operatorOK,
	"go-device-payload-falsy.jsonl:15":      bare,
	"go-device-register-errors.jsonl:11":    wrongType,
	"go-device-register-errors.jsonl:14":    notJSON,
	"go-device-register-errors.jsonl:17":    notObject,
	"go-device-register-errors.jsonl:20":    notObject,
	"go-device-register-errors.jsonl:24":    operatorOK,
	"go-device-register-lenient.jsonl:3":    operatorOK,
	"go-poll-typical-flow.jsonl:31":         bare,
	"go-ws-oversized.jsonl:7":               cut,
	"go-ws-oversized.jsonl:8":               cut,
	"go-ws-oversized.jsonl:10":              cut,
	"go2021-device-errors.jsonl:11":         wrongType,
	"go2021-device-errors.jsonl:14":         notJSON,
	"go2021-device-errors.jsonl:17":         notObject,
	"go2021-polling.jsonl:6[0]":             deviceID,
}

func TestTracesDecodeAndEncodeToTheSameValue(t *testing.T) {
	t.Parallel()
	var envelopes, inside, infos, fails int
	for _, r := range readRecorded(t) {
		if !r.envelope {
			if failed := checkRecordedPayload(t, r); failed {
				fails++
			} else {
				inside++
			}
			continue
		}
		m, err := Decode([]byte(r.text))
		if err != nil {
			fails++
			require.IsType(t, new(DecodeError), err)
			require.Contains(t, refused, r.place, "%v: %.200s", err, r.text)
			continue
		}
		require.NotContains(t, refused, r.place, "is decoded after all")
		envelopes++
		b, err := Encode(m)
		require.NoError(t, err, r.place)
		was, is := numbersOf(t, []byte(r.text)), numbersOf(t, b)
		if _, ok := m.(*DeviceInfoMsg); ok {
			was["message_type"] = "device_info" // today's operator leaves it out
		}
		if m.Validate() != nil { // a required member is missing, which is written empty
			onlyThoseIn(was, is)
		}
		require.Equal(t, was, is, r.place)

		switch m := m.(type) {
		case *Register:
			infos += checkRecordedInfo(t, r.place, m.DeviceInfo)
		case *DeviceInfoMsg:
			infos += checkRecordedInfo(t, r.place, m.DeviceInfo)
		case *Forward:
			inside += checkRecordedInside(t, r.place, m.Payload)
		case *ClientMsg:
			inside += checkRecordedInside(t, r.place, m.Payload)
		case *DeviceMsg:
			inside += checkRecordedInside(t, r.place, m.Payload)
		}
	}
	require.Equal(t, len(refused), fails, "an entry of refused is of no text")
	// A test that reads nothing must not pass.
	require.Equal(t, []int{487, 158, 105}, []int{envelopes, inside, infos}, "envelopes, payloads, device_infos")
}

// checkRecordedInside checks what an envelope carries, when it is of the sub-protocol.
func checkRecordedInside(t *testing.T, place string, payload json.RawMessage) (payloads int) {
	t.Helper()
	if _, ok := membersOf(payload)["type"]; !ok {
		return 0
	}
	require.False(t, checkRecordedPayload(t, recorded{place: place, text: string(payload)}))
	return 1
}

func checkRecordedPayload(t *testing.T, r recorded) (failed bool) {
	t.Helper()
	p, err := DecodePayload(json.RawMessage(r.text))
	if err != nil {
		require.IsType(t, new(DecodeError), err)
		require.Contains(t, refused, r.place, "%v: %.200s", err, r.text)
		return true
	}
	require.NotContains(t, refused, r.place, "is decoded after all")
	b, err := EncodePayload(p)
	require.NoError(t, err, r.place)
	was, is := numbersOf(t, []byte(r.text)), numbersOf(t, b)
	if _, ok := p.(*RequestOffer); ok && len(membersOf([]byte(r.text))) == 2 && is["ice_servers"] == nil {
		is["ice_servers"] = []any{} // the polling client of the trace sends it empty
	}
	require.Equal(t, was, is, r.place)
	return false
}

// checkRecordedInfo checks that what a device registered is there after a round trip;
// what the device left out is added.
func checkRecordedInfo(t *testing.T, place string, raw json.RawMessage) (infos int) {
	t.Helper()
	info, err := DecodeDeviceInfo(raw)
	if membersOf(raw) == nil {
		require.Error(t, err, place)
		return 0
	}
	require.NoError(t, err, place)
	require.NoError(t, info.Validate(), place)
	b, err := EncodeDeviceInfo(info)
	require.NoError(t, err, place)
	is := numbersOf(t, b)
	for _, required := range []string{"hardware", "custom_control_panel_buttons", "touchpads"} {
		require.NotNil(t, is[required], "%s: %s", place, required)
	}
	was := numbersOf(t, raw)
	onlyThoseIn(was, is)
	require.Equal(t, was, is, place)
	return 1
}

// onlyThoseIn removes from is the members that was does not have.
func onlyThoseIn(was, is map[string]any) {
	maps.DeleteFunc(is, func(name string, _ any) bool {
		_, ok := was[name]
		return !ok
	})
}

// numbersOf returns an object with its numbers as exact fractions, so that 1.0 is 1
// but 12345678901234567890 is not 12345678901234567000.
func numbersOf(t *testing.T, data []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v map[string]any
	require.NoError(t, d.Decode(&v), "%.200s", data)
	return exact(v).(map[string]any)
}

func exact(v any) any {
	switch v := v.(type) {
	case json.Number:
		r, _ := new(big.Rat).SetString(v.String())
		return r.String()
	case []any:
		for i := range v {
			v[i] = exact(v[i])
		}
	case map[string]any:
		for _, name := range slices.Collect(maps.Keys(v)) {
			v[name] = exact(v[name])
		}
	}
	return v
}
