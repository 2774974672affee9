package cuttlefish

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/repotest"
	"github.com/rtcsignal/rtcsignal/internal/script"
)

// A format is one of the five sets of objects that the package reads and writes. Its
// vectors are in the files whose names begin with the prefix.
type format struct {
	prefix string
	decode func([]byte) (validator, error)
	encode func(validator) ([]byte, error)
}

type validator interface{ Validate() error }

var (
	messages = format{
		"", decoder(Decode),
		func(v validator) ([]byte, error) { return Encode(v.(Message)) },
	}
	payloads = format{
		"payload-", decoder(func(data []byte) (Payload, error) { return DecodePayload(data) }),
		func(v validator) ([]byte, error) { return EncodePayload(v.(Payload)) },
	}
	deviceInfos = format{
		"device-info", decoder(func(data []byte) (*DeviceInfo, error) { return DecodeDeviceInfo(data) }),
		func(v validator) ([]byte, error) { return EncodeDeviceInfo(v.(*DeviceInfo)) },
	}
	controlCommands = format{
		"command-", decoder(DecodeControlCommand),
		func(v validator) ([]byte, error) { return EncodeControlCommand(v.(ControlCommand)) },
	}
	controlEvents = format{
		"event-", decoder(DecodeControlEvent),
		func(v validator) ([]byte, error) { return EncodeControlEvent(v.(*ControlEvent)) },
	}
	inputEvents = format{
		"input-", decoder(DecodeInput),
		func(v validator) ([]byte, error) { return EncodeInput(v.(InputEvent)) },
	}

	formats = []format{payloads, deviceInfos, controlCommands, controlEvents, inputEvents, messages}
)

// decoder returns decode for any format. A value beside an error is the test's failure.
func decoder[V validator](decode func([]byte) (V, error)) func([]byte) (validator, error) {
	return func(data []byte) (validator, error) {
		v, err := decode(data)
		if err != nil {
			if !reflect.ValueOf(&v).Elem().IsZero() {
				panic("a value beside an error")
			}
			return nil, err
		}
		return v, nil
	}
}

// A vector is one text with what is to come of it.
type vector struct {
	script.Vector
	format format
}

func readVectors(tb testing.TB) (all []vector) {
	tb.Helper()
	for _, v := range script.Vectors(tb) {
		require.Empty(tb, v.More, v.Name)
		all = append(all, vector{v, formatOf(v.Name)})
	}
	return all
}

func formatOf(file string) format {
	for _, f := range formats {
		if strings.HasPrefix(file, f.prefix) {
			return f
		}
	}
	return messages
}

func TestVectorsDecodeValidateAndEncode(t *testing.T) {
	t.Parallel()
	for _, v := range readVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			m, err := v.format.decode([]byte(v.Wire))
			if err != nil {
				require.EqualError(t, err, v.Problem)
				require.IsType(t, new(DecodeError), err)
				return
			}
			if err := m.Validate(); v.Problem != "" {
				require.EqualError(t, err, v.Problem)
				require.IsType(t, new(ValidationError), err)
			} else {
				require.NoError(t, err)
			}
			script.Written(t, v.Vector, m, v.Encoded, v.format.encode, v.format.decode)
		})
	}
}

func TestVectorsNameTracesThatExist(t *testing.T) {
	t.Parallel()
	for _, v := range readVectors(t) {
		for word := range strings.FieldsSeq(v.From) {
			if name := strings.TrimRight(word, ",:;"); strings.HasSuffix(name, ".jsonl") {
				require.FileExists(t, filepath.Join("testdata/traces", name), v.Name)
			}
		}
	}
}

// zeroIsValid are the types that need no member: a device_info may be empty, a config
// may have no servers, and a mouse may stand still.
var zeroIsValid = map[string]bool{
	"Config": true, "DeviceInfo": true, "RequestOffer": true, "RefreshDisplay": true,
	"MouseMove": true, "MouseButton": true, "MouseWheel": true, "Wheel": true,
	"GamepadKey": true, "GamepadMotion": true,
}

func TestEveryTypeHasADocCommentAVectorAndAValidate(t *testing.T) {
	t.Parallel()
	docs, members := repotest.Types(t, "wireType", "payloadType", "commandName", "inputType") // the methods that close a set
	members["DeviceInfo"], members["ControlEvent"] = true, true
	delete(members, "Reconnected") // does not exist on the wire
	require.Greater(t, len(members), 30)

	var covered script.Covered
	for _, v := range readVectors(t) {
		if m, err := v.format.decode([]byte(v.Wire)); err == nil {
			covered.Add(m, v.Problem)
		}
	}
	covered.Compare(t, members, docs, zeroIsValid, new(ValidationError))
	require.IsType(t, new(ValidationError), new(Reconnected).Validate())
}

func TestRegistriesConstructTheTypesThatTheyName(t *testing.T) {
	t.Parallel()
	for name, construct := range registry {
		require.Equal(t, name, construct().wireType())
	}
	for name, construct := range commands {
		require.Equal(t, name, construct().commandName())
	}
	for name, construct := range inputs {
		require.Equal(t, name, construct().inputType())
	}
}

func TestValidateRefusesFurtherMembersThatWouldNotEncode(t *testing.T) {
	t.Parallel()
	tooDeep := []byte(strings.Repeat("[", 64) + strings.Repeat("]", 64))
	for _, v := range readVectors(t) {
		if v.Problem != "" {
			continue
		}
		for name, raw := range map[string][]byte{
			"acme": []byte("{bad"), "acme_empty": {}, "acme_two": []byte("1 2"), "acme_deep": tooDeep,
		} {
			m, err := v.format.decode([]byte(v.Wire))
			require.NoError(t, err)
			extra := reflect.ValueOf(m).Elem().FieldByName("Extra")
			if extra.IsNil() {
				extra.Set(reflect.MakeMap(extra.Type()))
			}
			extra.Interface().(Fields)[name] = raw
			err = m.Validate()
			require.IsType(t, new(ValidationError), err, v.Name)
			require.Equal(t, name, err.(*ValidationError).Field, v.Name)
		}
	}
}
