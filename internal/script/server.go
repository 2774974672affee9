package script

import (
	"time"

	"github.com/rtcsignal/rtcsignal/transport"
)

// A Machine is something that has to do with time. E are the effects of a step.
type Machine[E any] interface {
	// Deadline returns when Expire is to be called, and false for never.
	Deadline() (time.Time, bool)
	Expire(now time.Time) E
}

// A ServerMachine is a server's machine, whose peers are numbered.
type ServerMachine[I ~uint64, E any] interface {
	Machine[E]
	Disconnect(now time.Time, peer I) E
}

// A ServerWire is a server's machine with its peers around it, inside a bubble of synctest:
// a [Target], but for its Open and its Send, which a protocol adds. Machine and Apply are
// set before the first peer comes.
type ServerWire[I ~uint64, E, P any] struct {
	Machine ServerMachine[I, E]
	Apply   func(E) // carries out effects, as the driver does

	peers map[string]*WirePeer[I, P]
	byID  map[I]*WirePeer[I, P]
}

// A WirePeer is a peer of a [ServerWire].
type WirePeer[I ~uint64, P any] struct {
	ID     I
	Name   string
	Gone   bool // it has no connection any more, or not yet
	Own    P    // the protocol's
	events []Event
}

// Hear adds what happens to the peer.
func (p *WirePeer[I, P]) Hear(events ...Event) { p.events = append(p.events, events...) }

// Appear brings a peer without a connection into being. What another one of the name has
// heard and nobody has asked for stays.
func (w *ServerWire[I, E, P]) Appear(name string) *WirePeer[I, P] {
	if w.peers == nil {
		w.peers, w.byID = make(map[string]*WirePeer[I, P]), make(map[I]*WirePeer[I, P])
	}
	p := &WirePeer[I, P]{Name: name, Gone: true}
	if old := w.peers[name]; old != nil {
		p.events = old.events
	}
	w.peers[name] = p
	return p
}

// Number gives a peer a connection with a number that no other has had.
func (w *ServerWire[I, E, P]) Number(p *WirePeer[I, P]) {
	p.ID, p.Gone = I(len(w.byID)+1), false
	w.byID[p.ID] = p
}

// Peer returns the peer of a name, or nil.
func (w *ServerWire[I, E, P]) Peer(name string) *WirePeer[I, P] { return w.peers[name] }

// Of returns the peer of a connection, which there must have been.
func (w *ServerWire[I, E, P]) Of(peer I) *WirePeer[I, P] { return w.byID[peer] }

// Present returns the peer of a name that has a connection.
func (w *ServerWire[I, E, P]) Present(name string) (*WirePeer[I, P], error) {
	p := w.peers[name]
	if p == nil || p.Gone {
		return nil, transport.ErrClosed
	}
	return p, nil
}

// Close implements [Target].
func (w *ServerWire[I, E, P]) Close(name string, _ int) error {
	p, err := w.Present(name)
	if err != nil {
		return err
	}
	w.Disconnect(p)
	return nil
}

// Disconnect ends the connection of a peer from the peer's side.
func (w *ServerWire[I, E, P]) Disconnect(p *WirePeer[I, P]) {
	p.Gone = true
	w.Apply(w.Machine.Disconnect(time.Now(), p.ID))
}

// DisconnectAll ends all connections that there are.
func (w *ServerWire[I, E, P]) DisconnectAll() {
	for _, p := range w.byID {
		if !p.Gone {
			w.Disconnect(p)
		}
	}
}

// Wait implements [Target].
func (w *ServerWire[I, E, P]) Wait(d time.Duration) error {
	Elapse(d, w.Machine, w.Apply)
	return nil
}

// Next implements [Target].
func (w *ServerWire[I, E, P]) Next(name string, _ bool) (Event, bool) {
	p := w.peers[name]
	if p == nil || len(p.events) == 0 {
		return Event{}, false
	}
	e := p.events[0]
	p.events = p.events[1:]
	return e, true
}

// Elapse lets time pass in a bubble of synctest and steps a machine at its deadlines.
func Elapse[E any](d time.Duration, m Machine[E], apply func(E)) {
	until := time.Now().Add(d)
	for {
		at, ok := m.Deadline()
		if !ok || at.After(until) {
			time.Sleep(time.Until(until))
			return
		}
		time.Sleep(time.Until(at))
		apply(m.Expire(time.Now()))
	}
}
