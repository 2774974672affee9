package cuttlefishpion

import (
	"fmt"

	"github.com/pion/sdp/v3"
)

// sendonly returns an offer that asks for no media in the sections in which the other
// side sends none. remote is its last description, empty before the first.
//
// Pion offers to receive wherever it sends. Chrome takes that as leave to send its
// microphone as soon as it has made an offer of its own for it, and the packets are there
// before the offer. Pion v4.2.20 looks at a stream that no description has announced yet
// in a goroutine of its own, which goes on reading it beside the one that the offer
// starts: a data race in srtp.ReadStreamSRTP.
func sendonly(offer, remote string) (string, error) {
	sends := make(map[string]bool) // by mid
	if remote != "" {
		var d sdp.SessionDescription
		if err := d.UnmarshalString(remote); err != nil {
			return "", fmt.Errorf("cuttlefishpion: remote description: %w", err)
		}
		for _, m := range d.MediaDescriptions {
			mid, _ := m.Attribute("mid")
			_, both := m.Attribute("sendrecv")
			_, only := m.Attribute("sendonly")
			sends[mid] = both || only
		}
	}
	var d sdp.SessionDescription
	if err := d.UnmarshalString(offer); err != nil {
		return "", fmt.Errorf("cuttlefishpion: offer: %w", err)
	}
	for _, m := range d.MediaDescriptions {
		if mid, _ := m.Attribute("mid"); sends[mid] {
			continue
		}
		for i, a := range m.Attributes {
			if a.Key == "sendrecv" {
				m.Attributes[i] = sdp.NewPropertyAttribute("sendonly")
			}
		}
	}
	text, err := d.Marshal()
	if err != nil {
		return "", fmt.Errorf("cuttlefishpion: offer: %w", err)
	}
	return string(text), nil
}
