package cuttlefish

import (
	"encoding/json"
	"fmt"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// DeviceInfo is what a real device registers as its device_info
// (libdevice/streamer.cpp, Register). To a server it is any JSON; the browser page
// takes its displays, buttons and touchpads from it.
//
// [EncodeDeviceInfo] writes every member, as the real device does, and never null.
// Without an object hardware and the arrays custom_control_panel_buttons and touchpads
// the page stops with an error and shows no video, so encoding/json will not do.
type DeviceInfo struct {
	Displays     []Display     `json:"displays"`
	Touchpads    []Touchpad    `json:"touchpads"`
	AudioStreams []AudioStream `json:"audio_streams"`

	// Hardware is what the page shows under device details, by any names. The
	// values of today's device are strings, those of 2021 were numbers as well.
	// camera_passthrough, when it is not empty, makes the page offer its camera.
	Hardware map[string]json.RawMessage `json:"hardware"`

	OpenWRTDeviceID           string        `json:"openwrt_device_id"`
	OpenWRTAddr               string        `json:"openwrt_addr"`
	ADBPort                   int           `json:"adb_port"` // TCP, on the device's host
	ControlEnvProxyServerPath string        `json:"control_env_proxy_server_path"`
	CustomControlPanelButtons []PanelButton `json:"custom_control_panel_buttons"`
	MouseEnabled              bool          `json:"mouse_enabled"`
	GamepadEnabled            bool          `json:"gamepad_enabled"` // devices since August 2025
	Extra                     Fields        `json:"-"`
}

// Display is one of a device's displays, which is a video stream.
type Display struct {
	StreamID string `json:"stream_id"` // see [DisplayStreamID]
	XRes     int    `json:"x_res"`     // pixels
	YRes     int    `json:"y_res"`     // pixels
	DPI      int    `json:"dpi"`
	IsTouch  bool   `json:"is_touch"`
	Extra    Fields `json:"-"`
}

// Touchpad is an area of the browser page that sends touches without showing a
// picture.
type Touchpad struct {
	XRes  int    `json:"x_res"` // units of its coordinates
	YRes  int    `json:"y_res"`
	Label string `json:"label"` // the device_label of its [MultiTouch]
	Extra Fields `json:"-"`
}

// AudioStream is one of a device's audio streams.
type AudioStream struct {
	StreamID string `json:"stream_id"` // see [AudioStreamID]
	Extra    Fields `json:"-"`
}

// PanelButton is a button that a device adds to the browser page. It runs
// ShellCommand over ADB, or steps through DeviceStates with a [DeviceStateCommand] for
// each press, or, without both, sends Command as a [ButtonCommand].
type PanelButton struct {
	Command      string    `json:"command"`
	Title        string    `json:"title"`
	IconName     string    `json:"icon_name"` // of the Material Icons
	ShellCommand string    `json:"shell_command,omitempty"`
	DeviceStates []Posture `json:"device_states,omitempty"`
	Extra        Fields    `json:"-"`
}

// Posture is how a device that folds is held. What is nil stays as it is.
type Posture struct {
	LidSwitchOpen   *bool  `json:"lid_switch_open,omitzero"`
	HingeAngleValue *int   `json:"hinge_angle_value,omitzero"` // degrees
	Extra           Fields `json:"-"`
}

// DecodeDeviceInfo reads a device_info. It does not validate and does not keep data.
// Its error is a [*DecodeError]: a device may register anything, and a null from the
// C++ server says that it registered nothing.
func DecodeDeviceInfo(data json.RawMessage) (*DeviceInfo, error) {
	info := new(DeviceInfo)
	if err := jsonx.Unmarshal(data, info); err != nil {
		return nil, decodeError("device_info", err, nil)
	}
	return info, nil
}

// EncodeDeviceInfo writes a device_info, for [Register] or [DeviceInfoMsg].
func EncodeDeviceInfo(info *DeviceInfo) (json.RawMessage, error) {
	b, err := jsonx.Append(nil, "", "", info)
	if err != nil {
		return nil, fmt.Errorf("cuttlefish: encode device_info: %w", err)
	}
	return b, nil
}

// Validate demands what the browser page cannot do without: a stream id for each
// display and audio stream, no two alike, a label and a size for each touchpad, a
// command and a title for each button.
func (info *DeviceInfo) Validate() error {
	const typ = "device_info"
	seen := map[string]bool{}
	stream := func(path, id string) error {
		if err := present(typ, path, id); err != nil {
			return err
		}
		if seen[id] {
			return invalid(typ, path, "is taken by another stream")
		}
		seen[id] = true
		return nil
	}
	for i, d := range info.Displays {
		path := fmt.Sprintf("displays[%d]", i)
		if err := first(
			stream(path+".stream_id", d.StreamID),
			d.Extra.validateAt(d, typ, path, "", memberLevel+2)); err != nil {
			return err
		}
	}
	for i, t := range info.Touchpads {
		if err := t.validate(typ, fmt.Sprintf("touchpads[%d]", i)); err != nil {
			return err
		}
	}
	for i, a := range info.AudioStreams {
		path := fmt.Sprintf("audio_streams[%d]", i)
		if err := first(
			stream(path+".stream_id", a.StreamID),
			a.Extra.validateAt(a, typ, path, "", memberLevel+2)); err != nil {
			return err
		}
	}
	for i, b := range info.CustomControlPanelButtons {
		if err := b.validate(typ, fmt.Sprintf("custom_control_panel_buttons[%d]", i)); err != nil {
			return err
		}
	}
	return first(
		Fields(info.Hardware).validateAt(nil, typ, "hardware", "", memberLevel+1),
		info.Extra.validateAt(info, typ, "", "", memberLevel))
}

func (t *Touchpad) validate(typ, path string) error {
	return first(
		present(typ, path+".label", t.Label),
		positive(typ, path+".x_res", t.XRes),
		positive(typ, path+".y_res", t.YRes),
		t.Extra.validateAt(t, typ, path, "", memberLevel+2))
}

func (b *PanelButton) validate(typ, path string) error {
	if err := first(
		present(typ, path+".command", b.Command),
		present(typ, path+".title", b.Title),
		b.Extra.validateAt(b, typ, path, "", memberLevel+2)); err != nil {
		return err
	}
	for i, p := range b.DeviceStates {
		path := fmt.Sprintf("%s.device_states[%d]", path, i)
		if p.LidSwitchOpen == nil && p.HingeAngleValue == nil {
			return invalid(typ, path, "says nothing")
		}
		if err := p.Extra.validateAt(p, typ, path, "", memberLevel+4); err != nil {
			return err
		}
	}
	return nil
}
