package cuttlefishpion

import (
	"math"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
)

// describe writes an offer or an answer.
func describe(d webrtc.SessionDescription) cuttlefish.Payload {
	if d.Type == webrtc.SDPTypeAnswer {
		return &cuttlefish.Answer{SDP: d.SDP}
	}
	return &cuttlefish.Offer{SDP: d.SDP}
}

// sendCandidates sends each candidate as what convert makes of it. It skips the end of
// candidates, for which the protocol has no word: the real device ends the peer
// connection over it.
func sendCandidates(
	send func(cuttlefish.Payload) error, convert func(webrtc.ICECandidateInit) cuttlefish.Payload,
) func(webrtc.ICECandidateInit) error {
	return func(c webrtc.ICECandidateInit) error {
		if c.Candidate == "" {
			return nil
		}
		return send(convert(c))
	}
}

// deviceCandidate writes a candidate as a device does, with its members side by side.
func deviceCandidate(c webrtc.ICECandidateInit) cuttlefish.Payload {
	p := &cuttlefish.DeviceCandidate{Candidate: c.Candidate}
	if c.SDPMid != nil {
		p.Mid = *c.SDPMid
	}
	if c.SDPMLineIndex != nil {
		p.MLineIndex = int(*c.SDPMLineIndex)
	}
	return p
}

// clientCandidate writes a candidate as a client does. The real device ends the peer
// connection when the section is not named in both ways.
func clientCandidate(c webrtc.ICECandidateInit) cuttlefish.Payload {
	if c.SDPMid == nil {
		c.SDPMid = new(string)
	}
	if c.SDPMLineIndex == nil {
		c.SDPMLineIndex = new(uint16)
	}
	return &cuttlefish.ClientCandidate{Candidate: cuttlefish.ICECandidateInit(c)}
}

// candidateOf reads a device's candidate.
func candidateOf(c *cuttlefish.DeviceCandidate) webrtc.ICECandidateInit {
	return webrtc.ICECandidateInit{
		Candidate:     c.Candidate,
		SDPMid:        &c.Mid,
		SDPMLineIndex: new(uint16(min(c.MLineIndex, math.MaxUint16))),
	}
}
