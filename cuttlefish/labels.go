package cuttlefish

import (
	"strconv"
	"strings"
)

// The labels of the data channels between device and client. All of them are ordered
// and reliable and have no subprotocol. The device opens [LabelDeviceControl], in its
// first offer; the client opens the others, and only those that it wants.
const (
	LabelDeviceControl = "device-control"        // [ControlCommand] and [ControlEvent]
	LabelInput         = "input-channel"         // [InputEvent], to the device
	LabelADB           = "adb-channel"           // bytes of ADB, both ways
	LabelBluetooth     = "bluetooth-channel"     // commands of rootcanal and its answers
	LabelCamera        = "camera-data-channel"   // JPEG in chunks of up to [CameraChunkSize], then [CameraEOF]
	LabelSensors       = "sensors-channel"       // "x y z" in degrees to the device, its readings back
	LabelLights        = "lights-channel"        // [ControlEvent], to the client
	LabelLocation      = "location-channel"      // "longitude,latitude,elevation", to the device
	LabelKMLLocations  = "kml-locations-channel" // a KML file, to the device
	LabelGPXLocations  = "gpx-locations-channel" // a GPX file, to the device
)

// How a picture goes through [LabelCamera].
const (
	CameraChunkSize = 65535 // bytes, of the browser page (js/cf_webrtc.js)
	CameraEOF       = "EOF" // the message after the last chunk
)

// AudioStreamID is the stream id, and the track id, of the device's audio.
const AudioStreamID = "audio-0"

const displayStreamPrefix = "display_"

// DisplayStreamID returns the stream id, and the track id, of the display of that
// number: display_0 and so on. The browser page finds displays by it.
func DisplayStreamID(display int) string { return displayStreamPrefix + strconv.Itoa(display) }

// DisplayNumber returns the number of the display that a stream id is for.
func DisplayNumber(streamID string) (display int, ok bool) {
	number, ok := strings.CutPrefix(streamID, displayStreamPrefix)
	display, err := strconv.Atoi(number)
	return display, ok && err == nil && DisplayStreamID(display) == streamID && display >= 0
}
