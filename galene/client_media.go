package galene

import (
	"slices"
	"strings"
	"time"
)

// sendRequest takes a request that is about to be sent.
func (m *ClientMachine) sendRequest(msg *Request) error {
	if msg.Tracks != nil && m.version != "" {
		return invalid("request", "request", errTracks.Error())
	}
	m.request = msg
	return nil
}

// sendStream keeps account of the streams.
func (m *ClientMachine) sendStream(msg Message) error {
	switch msg := msg.(type) {
	case *Offer:
		if m.aborted[msg.ID] {
			return ErrUnknownStream
		}
		if m.down[msg.ID] {
			return invalid("offer", "id", "is that of a received stream")
		}
		delete(m.up, msg.Replace)
		m.up[msg.ID] = true
	case *Close:
		if !m.up[msg.ID] {
			return ErrUnknownStream
		}
		delete(m.up, msg.ID)
	case *ICE:
		if !m.up[msg.ID] && !m.down[msg.ID] {
			return ErrUnknownStream
		}
	case *RequestStream:
		if !m.down[msg.ID] || m.ended[msg.ID] { // the server would end the connection
			return ErrUnknownStream
		}
		if m.ended[msg.ID] = msg.Request != nil && len(msg.Request) == 0; m.ended[msg.ID] {
			m.repeat = time.Time{} // which would bring the stream back
		}
	case *Abort:
		if !m.down[msg.ID] {
			return ErrUnknownStream
		}
		m.ended[msg.ID] = true
		m.repeat = time.Time{}
	case *Answer, *Renegotiate:
		if !m.down[streamOf(msg)] {
			return ErrUnknownStream
		}
	}
	return nil
}

// streamOf returns the id of the stream that a message is about.
func streamOf(msg Message) string {
	switch msg := msg.(type) {
	case *Offer:
		return msg.ID
	case *Answer:
		return msg.ID
	case *ICE:
		return msg.ID
	case *Renegotiate:
		return msg.ID
	case *Close:
		return msg.ID
	case *Abort:
		return msg.ID
	case *RequestStream:
		return msg.ID
	}
	return ""
}

// stream takes a message about a stream. Those about streams that are not known are
// normal, because both sides may end one at the same time.
func (m *ClientMachine) stream(fx *Effects, msg Message) {
	id := streamOf(msg)
	if m.group == "" || id == "" {
		return
	}
	known := false
	switch msg := msg.(type) {
	case *Offer:
		if known = !m.up[id]; known {
			delete(m.down, msg.Replace)
			delete(m.ended, msg.Replace)
			stream := id // and not the part of the message
			m.bound.Keep(&stream)
			m.down[stream] = true
		}
	case *Answer, *Renegotiate:
		known = m.up[id]
	case *ICE:
		if known = m.up[id] || m.down[id]; !known && len(m.early) < maxEarly {
			m.early = append(m.early, msg)
			m.bound.Keep(msg)
		}
	case *Close:
		known = m.down[id]
		delete(m.down, id)
		delete(m.ended, id)
		m.takeEarly(id)
	case *Abort:
		if known = m.up[id]; known {
			delete(m.up, id)
			if len(m.aborted) >= maxAborted {
				clear(m.aborted)
			}
			m.aborted[strings.Clone(id)] = true
			fx.Send = append(fx.Send, &Close{ID: id})
		}
	}
	if !known {
		return
	}
	fx.Deliver = append(fx.Deliver, msg)
	if _, ok := msg.(*Offer); ok {
		fx.Deliver = append(fx.Deliver, m.takeEarly(id)...)
	}
}

// maxEarly is how many candidates wait for the offer that they belong to: Galène may write
// them first. maxAborted is how many aborted streams are remembered.
const maxEarly, maxAborted = 64, 256

// takeEarly returns the candidates of a stream that came before its offer, and forgets
// them.
func (m *ClientMachine) takeEarly(id string) (early []Message) {
	m.early = slices.DeleteFunc(m.early, func(c *ICE) bool {
		if c.ID == id {
			early = append(early, c)
		}
		return c.ID == id
	})
	return early
}
