package cuttlefish

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// fuzzFormat checks that whatever decodes encodes, that what was encoded decodes to
// the same and encodes to the same bytes, and that what Validate accepts is accepted
// again on the other side.
func fuzzFormat(f *testing.F, format format) {
	for _, v := range readVectors(f) {
		f.Add([]byte(v.Wire))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := format.decode(data)
		if err != nil {
			require.IsType(t, new(DecodeError), err)
			return
		}
		valid := m.Validate()
		if valid != nil {
			require.IsType(t, new(ValidationError), valid)
		}
		b, err := format.encode(m)
		require.NoError(t, err)
		again, err := format.decode(b)
		require.NoError(t, err, "%s", b)
		require.Equal(t, reflect.TypeOf(m), reflect.TypeOf(again))
		if valid == nil {
			require.NoError(t, again.Validate())
		}
		same, err := format.encode(again)
		require.NoError(t, err)
		require.Equal(t, string(b), string(same))
	})
}

func FuzzDecode(f *testing.F) {
	for _, r := range readRecorded(f) {
		f.Add([]byte(r.text))
	}
	fuzzFormat(f, messages)
}

func FuzzDecodePayload(f *testing.F) {
	for _, r := range readRecorded(f) {
		if !r.envelope {
			f.Add([]byte(r.text))
		} else if payload := membersOf([]byte(r.text))["payload"]; payload != nil {
			f.Add([]byte(payload))
		}
	}
	fuzzFormat(f, payloads)
}

func FuzzDecodeDeviceInfo(f *testing.F) {
	for _, r := range readRecorded(f) {
		if info := membersOf([]byte(r.text))["device_info"]; info != nil {
			f.Add([]byte(info))
		}
	}
	fuzzFormat(f, deviceInfos)
}

func FuzzDecodeControlCommand(f *testing.F) { fuzzFormat(f, controlCommands) }

func FuzzDecodeControlEvent(f *testing.F) { fuzzFormat(f, controlEvents) }

func FuzzDecodeInput(f *testing.F) { fuzzFormat(f, inputEvents) }
