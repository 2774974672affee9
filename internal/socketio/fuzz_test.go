package socketio

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// FuzzParse checks that what Parse reads Append writes so that it is read the same, and
// that the arguments of a packet are JSON in which placeholders are as the parser of
// Socket.IO wants them.
func FuzzParse(f *testing.F) {
	for _, tt := range packets {
		f.Add([]byte(tt.text))
	}
	f.Add([]byte(`52-["event",{"a":{"_placeholder":true,"num":1}},{"num":0 ,"_placeholder": true }]`))
	f.Add([]byte(`51-["event",{"_placeholder":true,"num":1}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		p, err := Parse(text)
		if err != nil {
			return
		}
		require.LessOrEqual(t, p.Attachments, MaxAttachments)
		require.NoError(t, CheckNamespace(p.Namespace))
		if bytes.HasPrefix(p.Data, []byte("/")) { // no JSON begins so
			require.Error(t, CheckPayload(Packet{Type: Connect, Data: p.Data}))
			return
		}
		written := Append(nil, p)
		again, err := Parse(written)
		require.NoError(t, err, "%s", written)
		require.Equal(t, p, again)
		require.Equal(t, written, Append(nil, again))

		switch p.Type {
		case Connect, Disconnect, ConnectError:
			if CheckPayload(p) == nil {
				require.True(t, len(p.Data) == 0 || json.Valid(p.Data))
			}
		default:
			args, err := Arguments(p)
			require.Equal(t, before, text)
			if err != nil {
				require.Nil(t, args)
				return
			}
			var want []json.RawMessage
			require.NoError(t, json.Unmarshal(p.Data, &want))
			require.Len(t, args, len(want))
			for i, arg := range args {
				require.Equal(t, string(want[i]), string(arg))
			}
			if p.Attachments > 0 {
				var value any
				require.NoError(t, json.Unmarshal(p.Data, &value))
				requireReconstructs(t, value, p.Attachments)
			}
		}
	})
}

// requireReconstructs demands what the parser of Socket.IO demands of a binary packet.
func requireReconstructs(t *testing.T, value any, attachments int) {
	t.Helper()
	switch value := value.(type) {
	case []any:
		for _, v := range value {
			requireReconstructs(t, v, attachments)
		}
	case map[string]any:
		if value["_placeholder"] == true {
			num, ok := value["num"].(float64)
			require.True(t, ok && num >= 0 && num < float64(attachments), "%v", value)
		}
		for _, v := range value {
			requireReconstructs(t, v, attachments)
		}
	}
}

// FuzzAssembler checks that no sequence of messages makes more of a packet than its text
// announces, or more than the limit allows. In the input a byte 0 ends a message, and a
// message that begins with b is binary.
func FuzzAssembler(f *testing.F) {
	f.Add([]byte("0\x0051-[]\x00babc\x002[\"event\"]"), 100)
	f.Add([]byte("52-[]\x00b1\x00b2\x00b3"), 0)
	f.Add([]byte("53-[]\x00b1\x002[]"), 9)
	f.Add([]byte("51-[]\x00b1234567890"), 9)
	f.Add([]byte("511-[]\x0050-[]\x00"), 9)
	f.Fuzz(func(t *testing.T, input []byte, limit int) {
		a := Assembler{Limit: limit}
		announced := 0
		var parts [][]byte
		for message := range bytes.SplitSeq(input, []byte{0}) {
			typ := transport.Text
			if bytes.HasPrefix(message, []byte("b")) {
				typ, message = transport.Binary, message[1:]
			}
			text, attachments, ok, err := a.Feed(typ, message)
			if err != nil {
				require.False(t, ok)
				return
			}
			if typ == transport.Binary {
				require.Positive(t, announced, "nobody has announced it")
				parts = append(parts, bytes.Clone(message))
			} else {
				require.Zero(t, announced-len(parts), "attachments are due")
				announced, parts = 0, nil
				if p, err := Parse(message); err == nil {
					announced = p.Attachments
				}
			}
			require.Equal(t, announced == len(parts), ok)
			if !ok {
				continue
			}
			require.Equal(t, parts, attachments)
			if typ == transport.Binary {
				p, err := Parse(text)
				require.NoError(t, err)
				require.Len(t, attachments, p.Attachments)
				size := len(text) + len(bytes.Join(attachments, nil))
				require.True(t, limit <= 0 || size <= limit)
			} else {
				require.Equal(t, message, text)
			}
			announced, parts = 0, nil
		}
	})
}
