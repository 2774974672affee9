package easyrtcpion

import (
	"maps"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/easyrtc"
)

// trackArrived gives a track to the application, and tells its sender when its stream is a
// new one.
func (c *Call) trackArrived(track *webrtc.TrackRemote) {
	p := c.peer
	if p.opts.OnTrack == nil {
		return
	}
	p.mu.Lock()
	first := !c.streams[track.StreamID()]
	c.streams[track.StreamID()] = true
	p.mu.Unlock()
	if first {
		if m, err := easyrtc.NewStreamReceived(c.id, c.StreamName(track.StreamID())); err == nil {
			p.send(m)
		}
	}
	p.opts.OnTrack(c, track)
}

// StreamName returns the name that the other client has given to a stream, by its id; or
// "default". It is known once the rooms say so, and browsers say so before they call.
func (c *Call) StreamName(streamID string) string {
	for _, r := range c.peer.client.Rooms() {
		o := r.ClientList[c.id]
		if o == nil {
			continue
		}
		if ids, err := o.MediaIDs(); err == nil {
			if name := easyrtc.StreamName(ids, streamID); name != "" {
				return name
			}
		}
	}
	return easyrtc.DefaultStream
}

// publish names the streams of all calls in the rooms that do not have their names.
func (p *Peer) publish() {
	p.mu.Lock() // to the end: what is sent last must be the newest
	defer p.mu.Unlock()
	ids := make(map[string]string)
	for _, c := range p.calls {
		for _, t := range c.tracks {
			if id := t.StreamID(); id != "" {
				ids[id] = id
			}
		}
	}
	if len(ids) == 0 {
		return
	}
	own := p.client.EasyrtcID()
	for name, r := range p.client.Rooms() {
		fields := make(easyrtc.FieldMap)
		if o := r.ClientList[own]; o != nil {
			known, err := o.MediaIDs()
			if err == nil && maps.Equal(known, ids) {
				continue
			}
			if others, err := o.APIFields(); err == nil {
				maps.Copy(fields, others)
			}
		}
		if fields.SetMediaIDs(ids) != nil {
			continue
		}
		field, err := fields.JSON()
		if err != nil {
			continue
		}
		// Not a Call: it may be the reader of the client that would have to wait for it.
		p.send(&easyrtc.SetRoomAPIField{MsgData: &easyrtc.SetRoomAPIFieldData{
			SetRoomAPIField: &easyrtc.RoomAPIField{RoomName: name, Field: field},
		}})
	}
}
