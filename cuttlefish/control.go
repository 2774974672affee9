package cuttlefish

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// A ControlCommand is what a client says on the data channel [LabelDeviceControl]: a
// [*ButtonCommand], a [*DeviceStateCommand], a [*CameraSettings], a
// [*RefreshDisplay], an [*AddDisplay], a [*RemoveDisplay] or an [*UnknownCommand]. The
// shapes are those that the real device takes (libdevice/data_channels.cpp,
// ControlChannelHandler).
type ControlCommand interface {
	// Validate reports what the device would refuse. The error is a
	// [*ValidationError].
	Validate() error

	commandName() string // closes the set
}

// Button is a key of the device, or the command of a [PanelButton].
type Button string

// The buttons that every device has.
const (
	ButtonPower      Button = "power"
	ButtonHome       Button = "home"
	ButtonMenu       Button = "menu"
	ButtonBack       Button = "back"
	ButtonVolumeUp   Button = "volumeup"
	ButtonVolumeDown Button = "volumedown"
)

// ButtonState says which way a button goes. The device takes everything but down for
// up.
type ButtonState string

// The states.
const (
	ButtonDown ButtonState = "down"
	ButtonUp   ButtonState = "up"
)

// ButtonCommand presses or releases a button. A button that goes down stays there
// until it is released.
type ButtonCommand struct {
	Button Button      `json:"-"` // its own command on the wire
	State  ButtonState `json:"button_state"`
	Extra  Fields      `json:"-"`
}

// DeviceStateCommand folds or unfolds the device. What is nil stays as it is.
type DeviceStateCommand struct {
	LidSwitchOpen   *bool  `json:"lid_switch_open,omitzero"`
	HingeAngleValue *int   `json:"hinge_angle_value,omitzero"` // degrees
	Extra           Fields `json:"-"`
}

// CameraSettings describes the video that a client sends in place of the device's
// camera, as the browser's MediaTrackSettings do.
type CameraSettings struct {
	Width     int     `json:"width"`               // pixels
	Height    int     `json:"height"`              // pixels
	FrameRate float64 `json:"frame_rate,omitzero"` // frames per second
	Facing    string  `json:"facing,omitempty"`    // "user" or "environment"; absent for a camera that does not say
	Extra     Fields  `json:"-"`
}

// RefreshDisplay asks for the picture of a display that has not changed for a while.
type RefreshDisplay struct {
	Display int    `json:"refresh_display"` // its number
	Extra   Fields `json:"-"`
}

// AddDisplay plugs in a display. The device then offers again.
type AddDisplay struct {
	Width         int    `json:"width"`  // pixels
	Height        int    `json:"height"` // pixels
	DPI           int    `json:"dpi"`
	RefreshRateHz int    `json:"refresh_rate_hz"`
	Extra         Fields `json:"-"`
}

// RemoveDisplay unplugs a display. The device then offers again.
type RemoveDisplay struct {
	DisplayID string `json:"display_id"` // its number in decimal digits
	Extra     Fields `json:"-"`
}

// UnknownCommand is a command that this package does not know.
type UnknownCommand struct {
	Command string
	Extra   Fields
}

const (
	commandDiscriminator = "command"
	eventDiscriminator   = "event"
)

func (c *ButtonCommand) commandName() string    { return string(c.Button) }
func (*DeviceStateCommand) commandName() string { return "device_state" }
func (*CameraSettings) commandName() string     { return "camera_settings" }
func (*RefreshDisplay) commandName() string     { return "display" }
func (*AddDisplay) commandName() string         { return "add-display" }
func (*RemoveDisplay) commandName() string      { return "remove-display" }
func (c *UnknownCommand) commandName() string   { return c.Command }

// commands holds a constructor for each command that is not a button.
var commands = map[string]func() ControlCommand{
	"device_state":    func() ControlCommand { return new(DeviceStateCommand) },
	"camera_settings": func() ControlCommand { return new(CameraSettings) },
	"display":         func() ControlCommand { return new(RefreshDisplay) },
	"add-display":     func() ControlCommand { return new(AddDisplay) },
	"remove-display":  func() ControlCommand { return new(RemoveDisplay) },
}

// isButton reports whether the device takes a command of that name for a button. All
// that begin with camera_ go to its camera.
func isButton(name string) bool {
	_, known := commands[name]
	return !known && !strings.HasPrefix(name, "camera_")
}

// DecodeControlCommand reads a command. It does not validate and does not keep data.
// As in the device, a command of any other name is a button when it has a
// button_state; display without refresh_display is unknown. Its error is a
// [*DecodeError].
func DecodeControlCommand(data []byte) (ControlCommand, error) {
	o, name, err := scanVariant(data, "control command", commandDiscriminator)
	if err != nil {
		return nil, err
	}
	defer o.Free()
	var c ControlCommand
	if construct, known := commands[name]; known {
		c = construct()
		if _, ok := o.Get("refresh_display"); name == "display" && !ok {
			c = nil
		}
	} else if _, ok := o.Get("button_state"); ok && isButton(name) {
		c = &ButtonCommand{Button: Button(name)}
	}
	if c != nil {
		return decodeVariant(o, commandDiscriminator, name, c)
	}
	r, err := decodeVariant(o, commandDiscriminator, name, new(rest))
	if err != nil {
		return nil, err
	}
	return &UnknownCommand{Command: name, Extra: r.Extra}, nil
}

// EncodeControlCommand writes a command, for a text message of the data channel.
func EncodeControlCommand(c ControlCommand) ([]byte, error) {
	var v any = c
	if u, ok := c.(*UnknownCommand); ok {
		v = &rest{u.Extra}
	}
	return encodeVariant("control command", commandDiscriminator, c.commandName(), v)
}

// Validate demands a button, under a name that is no other command's, that goes down
// or up.
func (c *ButtonCommand) Validate() error {
	var err error
	switch {
	case !isButton(string(c.Button)):
		err = invalid("button", commandDiscriminator, "is another command")
	case c.State != ButtonDown && c.State != ButtonUp:
		err = invalid("button", "button_state", "neither down nor up")
	}
	return first(
		present("button", commandDiscriminator, string(c.Button)),
		err,
		c.Extra.validateVariant(c, "button", commandDiscriminator))
}

// Validate demands a lid or a hinge.
func (c *DeviceStateCommand) Validate() error {
	var err error
	if c.LidSwitchOpen == nil && c.HingeAngleValue == nil {
		err = invalid("device_state", "lid_switch_open", "neither it nor hinge_angle_value is there")
	}
	return first(err, c.Extra.validateVariant(c, "device_state", commandDiscriminator))
}

// Validate demands a size, and a frame rate that is not negative.
func (c *CameraSettings) Validate() error {
	var err error
	if c.FrameRate < 0 {
		err = invalid("camera_settings", "frame_rate", "negative")
	}
	return first(
		positive("camera_settings", "width", c.Width),
		positive("camera_settings", "height", c.Height),
		err,
		c.Extra.validateVariant(c, "camera_settings", commandDiscriminator))
}

// Validate demands a number that is not negative.
func (c *RefreshDisplay) Validate() error {
	return first(notNegative("display", "refresh_display", c.Display), c.Extra.validateVariant(c, "display", commandDiscriminator))
}

// Validate demands a size, a density and a rate.
func (c *AddDisplay) Validate() error {
	return first(
		positive("add-display", "width", c.Width),
		positive("add-display", "height", c.Height),
		positive("add-display", "dpi", c.DPI),
		positive("add-display", "refresh_rate_hz", c.RefreshRateHz),
		c.Extra.validateVariant(c, "add-display", commandDiscriminator))
}

// Validate demands an id.
func (c *RemoveDisplay) Validate() error {
	return first(
		present("remove-display", "display_id", c.DisplayID),
		c.Extra.validateVariant(c, "remove-display", commandDiscriminator))
}

// Validate demands a name that is not one of the known ones; a display may be asked
// for more than a [RefreshDisplay].
func (c *UnknownCommand) Validate() error {
	if _, known := commands[c.Command]; known && c.Command != "display" {
		return invalid(c.Command, commandDiscriminator, "is a known command: use its struct")
	}
	return first(
		present("control command", commandDiscriminator, c.Command),
		c.Extra.validateVariant(nil, c.Command, commandDiscriminator))
}

// EventName says what has happened on a device.
type EventName string

// The events of the real device.
const (
	EventBootStarted        EventName = "VIRTUAL_DEVICE_BOOT_STARTED" // adbd is up: ADB may connect
	EventBootCompleted      EventName = "VIRTUAL_DEVICE_BOOT_COMPLETED"
	EventScreenChanged      EventName = "VIRTUAL_DEVICE_SCREEN_CHANGED"             // see [ControlEvent.Rotation]
	EventDisplayPowerMode   EventName = "VIRTUAL_DEVICE_DISPLAY_POWER_MODE_CHANGED" // see [ControlEvent.DisplayPower]
	EventStartCameraSession EventName = "VIRTUAL_DEVICE_START_CAMERA_SESSION"
	EventStopCameraSession  EventName = "VIRTUAL_DEVICE_STOP_CAMERA_SESSION"
	EventCaptureImage       EventName = "VIRTUAL_DEVICE_CAPTURE_IMAGE" // asks for a picture on [LabelCamera]
	EventLightsUpdate       EventName = "VIRTUAL_DEVICE_LIGHTS_UPDATE" // on [LabelLights]
)

// ControlEvent is what a device says on the data channels [LabelDeviceControl] and
// [LabelLights]. When a client opens the former, the real device says the last event
// of each name again (kernel_log_events_handler.cpp).
type ControlEvent struct {
	Event    EventName `json:"-"`
	Metadata Fields    `json:"metadata,omitempty"` // strings, since they come out of the kernel's log
	Extra    Fields    `json:"-"`
}

// DecodeControlEvent reads an event. It does not validate and does not keep data. Its
// error is a [*DecodeError].
func DecodeControlEvent(data []byte) (*ControlEvent, error) {
	o, name, err := scanVariant(data, "control event", eventDiscriminator)
	if err != nil {
		return nil, err
	}
	defer o.Free()
	return decodeVariant(o, eventDiscriminator, name, &ControlEvent{Event: EventName(name)})
}

// EncodeControlEvent writes an event, for a text message of the data channel.
func EncodeControlEvent(e *ControlEvent) ([]byte, error) {
	return encodeVariant("control event", eventDiscriminator, string(e.Event), e)
}

// Validate demands an event, and JSON in the metadata.
func (e *ControlEvent) Validate() error {
	return first(
		present("control event", eventDiscriminator, string(e.Event)),
		e.Metadata.validateAt(nil, string(e.Event), "metadata", "", memberLevel+1),
		e.Extra.validateVariant(e, string(e.Event), eventDiscriminator))
}

// Rotation returns how far the device is turned, in degrees, after an
// [EventScreenChanged].
func (e *ControlEvent) Rotation() (degrees int, ok bool) {
	if e.Event != EventScreenChanged {
		return 0, false
	}
	return e.number("rotation")
}

// PowerMode says whether a display is lit. There are other modes than the two that
// have names here.
type PowerMode string

// The modes that the browser page knows.
const (
	PowerOn  PowerMode = "ON"
	PowerOff PowerMode = "OFF"
)

// DisplayPower returns which display goes into which mode after an
// [EventDisplayPowerMode].
func (e *ControlEvent) DisplayPower() (display int, mode PowerMode, ok bool) {
	if e.Event != EventDisplayPowerMode {
		return 0, "", false
	}
	display, ok = e.number("display")
	text, isText := jsonx.Text(e.Metadata["mode"])
	return display, PowerMode(text), ok && isText
}

// number returns an integer of the metadata, which is written as text.
func (e *ControlEvent) number(name string) (int, bool) {
	raw := e.Metadata[name]
	text, ok := jsonx.Text(raw)
	if !ok {
		text = raw
	}
	n, err := strconv.Atoi(string(text))
	return n, err == nil
}

// RotationMetadata returns the metadata of an [EventScreenChanged].
func RotationMetadata(degrees int) Fields {
	return Fields{"rotation": quoted(strconv.Itoa(degrees))}
}

// DisplayPowerMetadata returns the metadata of an [EventDisplayPowerMode].
func DisplayPowerMetadata(display int, mode PowerMode) Fields {
	return Fields{"display": quoted(strconv.Itoa(display)), "mode": quoted(string(mode))}
}

// quoted returns a text as a JSON string; what is not UTF-8 in it is replaced.
func quoted(text string) json.RawMessage {
	b, _ := jsonx.AppendString(nil, strings.ToValidUTF8(text, "\uFFFD")) // fails for invalid UTF-8 alone
	return b
}
