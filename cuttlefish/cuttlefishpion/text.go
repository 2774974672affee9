package cuttlefishpion

import "github.com/rtcsignal/rtcsignal/cuttlefish"

// encodeEvent validates and writes an event.
func encodeEvent(e *cuttlefish.ControlEvent) ([]byte, error) {
	if err := e.Validate(); err != nil {
		return nil, err
	}
	return cuttlefish.EncodeControlEvent(e)
}

// encodeControl validates and writes a command.
func encodeControl(c cuttlefish.ControlCommand) ([]byte, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return cuttlefish.EncodeControlCommand(c)
}

// encodeInput validates and writes an input event.
func encodeInput(e cuttlefish.InputEvent) ([]byte, error) {
	if err := e.Validate(); err != nil {
		return nil, err
	}
	return cuttlefish.EncodeInput(e)
}
