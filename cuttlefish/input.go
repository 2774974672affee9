package cuttlefish

import (
	"fmt"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// An InputEvent is what a client says on the data channel [LabelInput]: a
// [*MultiTouch], a [*Keyboard], a [*MouseMove], a [*MouseButton], a [*MouseWheel], a
// [*Wheel], a [*GamepadKey], a [*GamepadMotion] or an [*UnknownInput]. The shapes are
// those that the real device takes (libdevice/data_channels.cpp, InputChannelHandler);
// it refuses binary messages.
type InputEvent interface {
	// Validate reports what the device would refuse. The error is a
	// [*ValidationError].
	Validate() error

	inputType() string // closes the set
}

// Down says whether a finger, a key or a button is down. On the wire it is 1 or 0; of
// other integers the device takes every one but 0 for down.
type Down bool

// MarshalJSON writes 1 or 0.
func (d Down) MarshalJSON() ([]byte, error) {
	if d {
		return []byte("1"), nil
	}
	return []byte("0"), nil
}

// UnmarshalJSON takes an integer.
func (d *Down) UnmarshalJSON(data []byte) error {
	n, err := jsonx.Int(data)
	*d = n != 0
	return err
}

// MultiTouch moves fingers on a display or a touchpad, or lifts them. ID, X and Y hold
// one element for each finger.
type MultiTouch struct {
	ID          []int  `json:"id"`
	X           []int  `json:"x"` // pixels of the video, units of the touchpad
	Y           []int  `json:"y"`
	Down        Down   `json:"down"`
	DeviceLabel string `json:"device_label"` // see [DisplayStreamID] and [Touchpad]
	Extra       Fields `json:"-"`
}

// KeyEventType says which way a key goes. The device takes everything but keydown for
// keyup.
type KeyEventType string

// The types of key events.
const (
	KeyDown KeyEventType = "keydown"
	KeyUp   KeyEventType = "keyup"
)

// Keyboard presses or releases a key. A key that goes down stays there until it is
// released.
type Keyboard struct {
	EventType KeyEventType `json:"event_type"`
	Keycode   string       `json:"keycode"` // KeyboardEvent.code of the DOM, such as KeyA
	Extra     Fields       `json:"-"`
}

// MouseMove moves the mouse.
type MouseMove struct {
	X     int    `json:"x"` // pixels to the right
	Y     int    `json:"y"` // pixels down
	Extra Fields `json:"-"`
}

// MouseButton presses or releases a button of the mouse.
type MouseButton struct {
	Button int    `json:"button"` // MouseEvent.button of the DOM: 0 left, 1 middle, 2 right
	Down   Down   `json:"down"`
	Extra  Fields `json:"-"`
}

// MouseWheel turns the wheel of the mouse.
type MouseWheel struct {
	Pixels int    `json:"pixels"` // down
	Extra  Fields `json:"-"`
}

// Wheel turns the rotary of a watch.
type Wheel struct {
	Pixels int    `json:"pixels"` // down
	Extra  Fields `json:"-"`
}

// GamepadKey presses or releases a button of a gamepad.
type GamepadKey struct {
	ID     string `json:"id"`     // Gamepad.id of the DOM; the device logs it
	Button int    `json:"button"` // index in Gamepad.buttons of the DOM
	Down   Down   `json:"down"`
	Extra  Fields `json:"-"`
}

// GamepadMotion moves a stick or a trigger of a gamepad.
type GamepadMotion struct {
	Button int    `json:"button"` // Linux axis code: ABS_X is 0, ABS_Y is 1
	Value  int    `json:"value"`  // -32768 to 32767, of a trigger 0 to 255
	Extra  Fields `json:"-"`
}

// UnknownInput is an input event of a type that this package does not know.
type UnknownInput struct {
	Type  string
	Extra Fields
}

const inputDiscriminator = "type"

func (*MultiTouch) inputType() string     { return "multi-touch" }
func (*Keyboard) inputType() string       { return "keyboard" }
func (*MouseMove) inputType() string      { return "mouseMove" }
func (*MouseButton) inputType() string    { return "mouseButton" }
func (*MouseWheel) inputType() string     { return "mouseWheel" }
func (*Wheel) inputType() string          { return "wheel" }
func (*GamepadKey) inputType() string     { return "gamepadKey" }
func (*GamepadMotion) inputType() string  { return "gamepadMotion" }
func (e *UnknownInput) inputType() string { return e.Type }

// inputs holds a constructor for each type.
var inputs = map[string]func() InputEvent{
	"multi-touch":   func() InputEvent { return new(MultiTouch) },
	"keyboard":      func() InputEvent { return new(Keyboard) },
	"mouseMove":     func() InputEvent { return new(MouseMove) },
	"mouseButton":   func() InputEvent { return new(MouseButton) },
	"mouseWheel":    func() InputEvent { return new(MouseWheel) },
	"wheel":         func() InputEvent { return new(Wheel) },
	"gamepadKey":    func() InputEvent { return new(GamepadKey) },
	"gamepadMotion": func() InputEvent { return new(GamepadMotion) },
}

// DecodeInput reads an input event. It does not validate and does not keep data. Its
// error is a [*DecodeError].
func DecodeInput(data []byte) (InputEvent, error) {
	o, name, err := scanVariant(data, "input event", inputDiscriminator)
	if err != nil {
		return nil, err
	}
	defer o.Free()
	if construct, ok := inputs[name]; ok {
		return decodeVariant(o, inputDiscriminator, name, construct())
	}
	r, err := decodeVariant(o, inputDiscriminator, name, new(rest))
	if err != nil {
		return nil, err
	}
	return &UnknownInput{Type: name, Extra: r.Extra}, nil
}

// EncodeInput writes an input event, for a text message of the data channel.
func EncodeInput(e InputEvent) ([]byte, error) {
	var v any = e
	if u, ok := e.(*UnknownInput); ok {
		v = &rest{u.Extra}
	}
	return encodeVariant("input event", inputDiscriminator, e.inputType(), v)
}

// Validate demands at least one finger, an x and a y for each, and a label.
func (e *MultiTouch) Validate() error {
	const typ = "multi-touch"
	var err error
	switch n := len(e.ID); {
	case n == 0:
		err = invalid(typ, "id", "empty")
	case len(e.X) != n:
		err = invalid(typ, "x", fmt.Sprintf("has %d elements, id has %d", len(e.X), n))
	case len(e.Y) != n:
		err = invalid(typ, "y", fmt.Sprintf("has %d elements, id has %d", len(e.Y), n))
	}
	return first(err, present(typ, "device_label", e.DeviceLabel), e.Extra.validateVariant(e, typ, inputDiscriminator))
}

// Validate demands a key code that goes down or up.
func (e *Keyboard) Validate() error {
	var err error
	if e.EventType != KeyDown && e.EventType != KeyUp {
		err = invalid("keyboard", "event_type", "neither keydown nor keyup")
	}
	return first(err, present("keyboard", "keycode", e.Keycode), e.Extra.validateVariant(e, "keyboard", inputDiscriminator))
}

// Validate checks the further members alone: any movement is good.
func (e *MouseMove) Validate() error {
	return e.Extra.validateVariant(e, "mouseMove", inputDiscriminator)
}

// Validate demands a button that is not negative.
func (e *MouseButton) Validate() error {
	return first(notNegative("mouseButton", "button", e.Button), e.Extra.validateVariant(e, "mouseButton", inputDiscriminator))
}

// Validate checks the further members alone: any turn is good.
func (e *MouseWheel) Validate() error {
	return e.Extra.validateVariant(e, "mouseWheel", inputDiscriminator)
}

// Validate checks the further members alone: any turn is good.
func (e *Wheel) Validate() error { return e.Extra.validateVariant(e, "wheel", inputDiscriminator) }

// Validate demands a button that is not negative.
func (e *GamepadKey) Validate() error {
	return first(notNegative("gamepadKey", "button", e.Button), e.Extra.validateVariant(e, "gamepadKey", inputDiscriminator))
}

// Validate demands an axis that is not negative.
func (e *GamepadMotion) Validate() error {
	return first(notNegative("gamepadMotion", "button", e.Button), e.Extra.validateVariant(e, "gamepadMotion", inputDiscriminator))
}

// Validate demands a type that is not one of the known ones.
func (e *UnknownInput) Validate() error {
	if _, known := inputs[e.Type]; known {
		return invalid(e.Type, inputDiscriminator, "is a known type: use its struct")
	}
	return first(present("input event", inputDiscriminator, e.Type), e.Extra.validateVariant(nil, e.Type, inputDiscriminator))
}
