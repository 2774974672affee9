package msepion

import (
	"time"

	"github.com/pion/webrtc/v4"
)

const (
	// The buffer of a data channel in bytes: above the first whoever sends waits until it
	// has sunk to the second.
	bufferFull, bufferLow = 256 << 10, 64 << 10
	// defaultPatience is how long a member may keep the others waiting.
	defaultPatience = 5 * time.Second
)

// An outlet is an open data channel of a member, which gets what the others say.
type outlet struct {
	ch  *webrtc.DataChannel
	low chan struct{} // capacity 1: the buffer has sunk
}

// opened takes a data channel that a member opens.
func (m *member) opened(ch *webrtc.DataChannel) {
	r := m.rooms
	o := &outlet{ch: ch, low: make(chan struct{}, 1)}
	ch.SetBufferedAmountLowThreshold(bufferLow)
	ch.OnBufferedAmountLow(func() { signal(o.low) })
	ch.OnOpen(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		m.outlets[ch.Label()] = o
	})
	ch.OnClose(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if m.outlets[ch.Label()] == o {
			delete(m.outlets, ch.Label())
		}
	})
	ch.OnMessage(func(msg webrtc.DataChannelMessage) { m.say(ch.Label(), msg) })
}

// say sends a message to the others. It waits for those who read slowly, so that SCTP
// slows the sender down instead of a queue growing here, and takes those who do not read at
// all out of the room.
func (m *member) say(label string, msg webrtc.DataChannelMessage) {
	r := m.rooms
	r.mu.Lock()
	others := make(map[*member]*outlet)
	for other := range r.rooms[m.room] {
		if o := other.outlets[label]; o != nil && other != m {
			others[other] = o
		}
	}
	r.mu.Unlock()
	for other, o := range others {
		if !o.send(msg, r.patience, m.gone, other.gone) {
			r.log.Warn("msepion: a member does not read a data channel", "session", other.id)
			other.end()
		}
	}
}

// send reports false when the other side does not read.
func (o *outlet) send(msg webrtc.DataChannelMessage, patience time.Duration, gone, theirs <-chan struct{}) bool {
	if o.ch.BufferedAmount() > bufferFull {
		late := time.NewTimer(patience)
		defer late.Stop()
		for o.ch.BufferedAmount() > bufferFull {
			select {
			case <-o.low:
			case <-gone:
				return true
			case <-theirs:
				return true
			case <-late.C:
				return false
			}
		}
		signal(o.low) // for the next one who waits
	}
	// What fails here is a channel that is closing.
	if msg.IsString {
		_ = o.ch.SendText(string(msg.Data))
	} else {
		_ = o.ch.Send(msg.Data)
	}
	return true
}

// end takes a member out of its room.
func (m *member) end() {
	if s := m.peer.session(); s != nil {
		s.End(ErrSlowPeer)
	}
}

// signal wakes who waits for c, a channel of capacity 1.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
