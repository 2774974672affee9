package cuttlefish

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

func TestVariantsRefuseWhatMessagesRefuse(t *testing.T) {
	t.Parallel()
	for _, f := range []struct {
		format
		discriminator, name string
	}{
		{payloads, "type", "offer"},
		{controlCommands, "command", "device_state"},
		{controlEvents, "event", "VIRTUAL_DEVICE_BOOT_STARTED"},
		{inputEvents, "type", "wheel"},
	} {
		head := `{"` + f.discriminator + `":"` + f.name + `"`
		for _, tt := range []struct {
			text  string
			field string
			want  error
		}{
			{"", "", jsonx.ErrSyntax},
			{"null", "", jsonx.ErrNotObject},
			{"[]", "", jsonx.ErrNotObject},
			{`"` + f.name + `"`, "", jsonx.ErrNotObject},
			{head + `} {}`, "", jsonx.ErrSyntax},
			{head + `,"x":1,"x":2}`, "", jsonx.ErrDuplicate},
			{head + `,"` + f.discriminator + `":"` + f.name + `"}`, "", jsonx.ErrDuplicate},
			{head + ",\"x\":\"\xff\"}", "", jsonx.ErrUTF8},
			{head + `,"x":` + nestedArrays(64) + `}`, "", jsonx.ErrDepth},
			{`{}`, f.discriminator, errMissing},
			{`{"` + f.discriminator + `":null}`, f.discriminator, jsonx.ErrType},
			{`{"` + f.discriminator + `":{}}`, f.discriminator, jsonx.ErrType},
		} {
			m, err := f.decode([]byte(tt.text))
			require.Nil(t, m, tt.text)
			require.ErrorIs(t, err, tt.want, tt.text)
			require.IsType(t, new(DecodeError), err, tt.text)
			require.Equal(t, tt.field, err.(*DecodeError).Field, tt.text)
		}
		_, err := f.decode([]byte(head + `,"x":` + nestedArrays(63) + `}`))
		require.NoError(t, err)
	}
}

func TestCandidateHasTheShapeThatItsMemberHas(t *testing.T) {
	t.Parallel()
	p, err := DecodePayload(json.RawMessage(`{"type":"ice-candidate","candidate": {"candidate":"c","sdpMid":null} }`))
	require.NoError(t, err)
	require.Equal(t, &ClientCandidate{Candidate: ICECandidateInit{Candidate: "c"}}, p)

	p, err = DecodePayload(json.RawMessage(`{"type":"ice-candidate","candidate":"c","mid":"0","mLineIndex":1.0}`))
	require.NoError(t, err)
	require.Equal(t, &DeviceCandidate{Candidate: "c", Mid: "0", MLineIndex: 1}, p)

	p, err = DecodePayload(json.RawMessage(`{"type":"ice-candidate"}`))
	require.NoError(t, err)
	require.IsType(t, new(DeviceCandidate), p)
}

func TestPayloadTypeMayBeAFurtherMemberOfAMessageOnly(t *testing.T) {
	t.Parallel()
	require.NoError(t, (&Offer{SDP: "a", Extra: Fields{"message_type": json.RawMessage(`"forward"`)}}).Validate())
	require.Error(t, (&Offer{SDP: "a", Extra: Fields{"type": json.RawMessage(`"answer"`)}}).Validate())
	require.NoError(t, (&Connect{DeviceID: "a", Extra: Fields{"type": json.RawMessage(`1`)}}).Validate())
	require.Error(t, (&Connect{DeviceID: "a", Extra: Fields{"message_type": json.RawMessage(`1`)}}).Validate())
}

func TestDeviceInfoEncodesWhatTheBrowserPageRequires(t *testing.T) {
	t.Parallel()
	b, err := EncodeDeviceInfo(new(DeviceInfo))
	require.NoError(t, err)
	require.Equal(t, `{"displays":[],"touchpads":[],"audio_streams":[],"hardware":{},`+
		`"openwrt_device_id":"","openwrt_addr":"","adb_port":0,"control_env_proxy_server_path":"",`+
		`"custom_control_panel_buttons":[],"mouse_enabled":false,"gamepad_enabled":false}`, string(b))
}

func TestDeviceInfoKeepsFurtherMembersAtEveryLevel(t *testing.T) {
	t.Parallel()
	x := Fields{"acme": json.RawMessage(`{ "a": 1.0 }`)}
	info := &DeviceInfo{
		Displays:     []Display{{StreamID: DisplayStreamID(0), Extra: x}},
		Touchpads:    []Touchpad{{XRes: 1, YRes: 1, Label: "t", Extra: x}},
		AudioStreams: []AudioStream{{StreamID: AudioStreamID, Extra: x}},
		Hardware:     map[string]json.RawMessage{"CPUs": json.RawMessage(`"2"`), "cpus": json.RawMessage(`2`)},
		CustomControlPanelButtons: []PanelButton{{
			Command: "c", Title: "t", Extra: x,
			DeviceStates: []Posture{{LidSwitchOpen: new(false), Extra: x}, {HingeAngleValue: new(0)}},
		}},
		Extra: x,
	}
	require.NoError(t, info.Validate())
	b, err := EncodeDeviceInfo(info)
	require.NoError(t, err)
	again, err := DecodeDeviceInfo(b)
	require.NoError(t, err)
	require.Equal(t, info, again)
}

func TestDeviceInfoValidateNamesThePath(t *testing.T) {
	t.Parallel()
	bad := Fields{"acme": json.RawMessage(`{`)}
	for path, info := range map[string]*DeviceInfo{
		"displays[0].stream_id":                                 {Displays: []Display{{}}},
		"displays[1].stream_id":                                 {Displays: []Display{{StreamID: "a"}, {StreamID: "a"}}},
		"displays[0].acme":                                      {Displays: []Display{{StreamID: "a", Extra: bad}}},
		"touchpads[0].label":                                    {Touchpads: []Touchpad{{XRes: 1, YRes: 1}}},
		"touchpads[0].x_res":                                    {Touchpads: []Touchpad{{Label: "a", YRes: 1}}},
		"touchpads[0].y_res":                                    {Touchpads: []Touchpad{{Label: "a", XRes: 1}}},
		"touchpads[0].acme":                                     {Touchpads: []Touchpad{{Label: "a", XRes: 1, YRes: 1, Extra: bad}}},
		"audio_streams[0].stream_id":                            {AudioStreams: []AudioStream{{}}},
		"audio_streams[0].acme":                                 {AudioStreams: []AudioStream{{StreamID: "a", Extra: bad}}},
		"hardware.CPUs":                                         {Hardware: map[string]json.RawMessage{"CPUs": json.RawMessage(`2 mb`)}},
		"custom_control_panel_buttons[0].title":                 {CustomControlPanelButtons: []PanelButton{{Command: "a"}}},
		"custom_control_panel_buttons[0].command":               {CustomControlPanelButtons: []PanelButton{{Title: "a"}}},
		"custom_control_panel_buttons[0].acme":                  {CustomControlPanelButtons: []PanelButton{{Command: "a", Title: "a", Extra: bad}}},
		"custom_control_panel_buttons[0].device_states[0]":      {CustomControlPanelButtons: []PanelButton{{Command: "a", Title: "a", DeviceStates: []Posture{{}}}}},
		"custom_control_panel_buttons[0].device_states[0].acme": {CustomControlPanelButtons: []PanelButton{{Command: "a", Title: "a", DeviceStates: []Posture{{HingeAngleValue: new(1), Extra: bad}}}}},
		"acme": {Extra: bad},
	} {
		err := info.Validate()
		require.IsType(t, new(ValidationError), err, path)
		require.Equal(t, path, err.(*ValidationError).Field)
	}
}

func TestControlEventTellsItsMetadata(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		`{"rotation":"90"}`: 90, `{"rotation":-90}`: -90, `{"rotation":"0"}`: 0,
	} {
		e, err := DecodeControlEvent([]byte(`{"event":"VIRTUAL_DEVICE_SCREEN_CHANGED","metadata":` + text + `}`))
		require.NoError(t, err)
		degrees, ok := e.Rotation()
		require.True(t, ok, text)
		require.Equal(t, want, degrees, text)
	}
	for _, text := range []string{`{}`, `null`, `{"rotation":"left"}`, `{"rotation":1.5}`, `{"rotation":null}`, `{"rotation":{}}`} {
		e, err := DecodeControlEvent([]byte(`{"event":"VIRTUAL_DEVICE_SCREEN_CHANGED","metadata":` + text + `}`))
		require.NoError(t, err)
		_, ok := e.Rotation()
		require.False(t, ok, text)
	}

	power := &ControlEvent{Event: EventDisplayPowerMode, Metadata: DisplayPowerMetadata(2, PowerOff)}
	require.NoError(t, power.Validate())
	display, mode, ok := power.DisplayPower()
	require.True(t, ok)
	require.Equal(t, 2, display)
	require.Equal(t, PowerOff, mode)
	_, ok = power.Rotation()
	require.False(t, ok, "of another event")
	for _, metadata := range []Fields{nil, {"display": json.RawMessage(`"0"`)}, {"mode": json.RawMessage(`"ON"`)}} {
		_, _, ok = (&ControlEvent{Event: EventDisplayPowerMode, Metadata: metadata}).DisplayPower()
		require.False(t, ok)
	}

	b, err := EncodeControlEvent(&ControlEvent{Event: EventScreenChanged, Metadata: RotationMetadata(270)})
	require.NoError(t, err)
	require.Equal(t, `{"event":"VIRTUAL_DEVICE_SCREEN_CHANGED","metadata":{"rotation":"270"}}`, string(b))
}

func TestCommandsThatAreNoButtonsAreRefusedAsButtons(t *testing.T) {
	t.Parallel()
	for _, name := range []Button{"device_state", "display", "add-display", "remove-display", "camera_settings", "camera_x", ""} {
		require.IsType(t, new(ValidationError), (&ButtonCommand{Button: name, State: ButtonDown}).Validate(), name)
	}
	for _, name := range []Button{ButtonPower, ButtonHome, ButtonMenu, ButtonBack, ButtonVolumeUp, ButtonVolumeDown, "acme"} {
		require.NoError(t, (&ButtonCommand{Button: name, State: ButtonUp}).Validate(), name)
	}
	require.Error(t, (&UnknownCommand{Command: "add-display"}).Validate())
	require.Error(t, (&UnknownInput{Type: "wheel"}).Validate())
	require.Error(t, (&Unknown{Type: "connect"}).Validate())
}

func TestDisplayNumberIsTheReverseOfDisplayStreamID(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 15, 1000} {
		number, ok := DisplayNumber(DisplayStreamID(n))
		require.True(t, ok)
		require.Equal(t, n, number)
	}
	for _, id := range []string{"", "display_", "display_-1", "display_01", "display_+1", "display_1 ", "Display_1", AudioStreamID} {
		_, ok := DisplayNumber(id)
		require.False(t, ok, id)
	}
}
