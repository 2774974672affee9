package easyrtcpion

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/easyrtc"
)

// The buffer of the data channel in bytes: above the first whoever sends waits until it has
// sunk to the second.
const bufferFull, bufferLow = 256 << 10, 64 << 10

// A dataChannel is what the two sides of a call say to each other without the server.
//
// There is one channel, which the caller opens. When both have called there are two, and a
// browser may know one of them only: so both are listened to, and the one is written to on
// which the other side has said something.
type dataChannel struct {
	call  *Call
	ready chan struct{} // closed when something can be sent
	turn  chan struct{} // capacity 1: held by who sends, because parts must not mix
	low   chan struct{} // capacity 1: the buffer has sunk

	transfers uint64 // sent in parts; of who has the turn

	mu   sync.Mutex
	open []*webrtc.DataChannel // oldest first
	out  *webrtc.DataChannel   // to be written to; nil before ready
	said bool                  // by the other side, through the server
	told bool                  // to the other side, likewise
	fore bool                  // before it was heard, which it still is not
}

func newDataChannel(c *Call) *dataChannel {
	return &dataChannel{
		call: c, ready: make(chan struct{}), turn: make(chan struct{}, 1), low: make(chan struct{}, 1),
	}
}

// channelOpened takes a channel that the other side opens.
func (c *Call) channelOpened(ch *webrtc.DataChannel) {
	switch opts := &c.peer.opts; {
	case ch.Label() == easyrtc.DataChannelLabel && !opts.NoData:
		c.data.attach(ch)
	case opts.OnChannel != nil:
		opts.OnChannel(c, ch)
	}
}

// attach listens to a channel.
func (d *dataChannel) attach(ch *webrtc.DataChannel) {
	assembler := &easyrtc.Assembler{DataUnits: d.call.peer.opts.MaxData}
	ch.SetBufferedAmountLowThreshold(bufferLow)
	ch.OnBufferedAmountLow(func() { signal(d.low) })
	prime := sync.OnceFunc(func() { // before anything else
		_ = ch.SendText(easyrtc.DataChannelPrimed) // what fails here is a channel that is closing
	})
	ch.OnOpen(func() {
		prime()
		d.mu.Lock()
		d.open = append(d.open, ch)
		said := d.said
		d.mu.Unlock()
		if said {
			d.choose(ch)
		}
	})
	ch.OnMessage(func(m webrtc.DataChannelMessage) {
		if !m.IsString {
			return
		}
		if string(m.Data) == easyrtc.DataChannelPrimed {
			d.tell(true)
		}
		prime()
		d.choose(ch)
		d.receive(assembler, m.Data)
	})
}

// primed is the other side's word, through the server, that it has heard us on one of the
// channels.
func (c *Call) primed(ch *webrtc.DataChannel) {
	d := c.data
	d.mu.Lock()
	d.said = true
	if len(d.open) > 0 {
		ch = d.open[0]
	}
	d.mu.Unlock()
	if ch != nil {
		d.choose(ch)
		d.tell(false)
	}
}

// tell tells the other side, through the server, that it was heard. Chromium may lose the
// one text that says so, but what it says of us shows that the channel is there: then nobody
// waits for the text, and when it comes there is nothing to tell.
func (d *dataChannel) tell(heard bool) {
	d.mu.Lock()
	tell := heard && !d.fore || !d.told
	d.fore = !heard && (tell || d.fore)
	d.told = true
	d.mu.Unlock()
	if tell {
		d.call.peer.send(easyrtc.NewDataChannelPrimed(d.call.id))
	}
}

// choose makes a channel the one to be written to, unless there is one.
func (d *dataChannel) choose(ch *webrtc.DataChannel) {
	d.mu.Lock()
	chosen := d.out == nil
	if chosen {
		d.out = ch
		close(d.ready)
	}
	d.mu.Unlock()
	if chosen && d.call.peer.opts.OnOpen != nil {
		d.call.peer.opts.OnOpen(d.call)
	}
}

// receive takes a text of the other side. It may be anything.
func (d *dataChannel) receive(assembler *easyrtc.Assembler, text []byte) {
	p := d.call.peer
	m, err := assembler.Receive(text)
	if err != nil {
		p.log.Warn("easyrtcpion: refused a text on the data channel", "error", err)
		return
	}
	if m == nil {
		return
	}
	handled, err := p.fileMessage(d.call.id, m.MsgType, m.MsgData)
	if err != nil {
		p.log.Warn("easyrtcpion: refused a message", "error", err)
	}
	if !handled && p.opts.OnData != nil {
		p.opts.OnData(d.call, m)
	}
}

// Ready is closed when [Call.Send] does not have to wait for the data channel any more.
func (c *Call) Ready() <-chan struct{} { return c.data.ready }

// Send sends a message of any type to the other client, without the server. data is any
// JSON, or nil. It waits until the data channel can be used, and while too much is on its
// way. The error is that of ctx, why the call ended, or [ErrClosed]; a message that ctx cut
// short is lost, and nothing else.
func (c *Call) Send(ctx context.Context, msgType string, data json.RawMessage) error {
	d := c.data
	if err := c.await(ctx, d.ready); err != nil {
		return err
	}
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return ctx.Err()
	case <-c.gone:
		return c.cause()
	}
	texts, err := easyrtc.EncodeData(&easyrtc.DataMessage{MsgType: msgType, MsgData: data},
		fmt.Sprintf("%s-%d", c.id, d.transfers), 0)
	if err != nil {
		return err
	}
	if len(texts) > 1 {
		d.transfers++
	}
	for _, text := range texts {
		if err := d.write(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// write sends a text when the buffer has room. Only who has the turn may call it.
func (d *dataChannel) write(ctx context.Context, text string) error {
	c := d.call
	for d.out.BufferedAmount() > bufferFull {
		select {
		case <-d.low:
		case <-ctx.Done():
			return ctx.Err()
		case <-c.gone:
			return c.cause()
		}
	}
	select {
	case <-c.gone:
		return c.cause()
	default:
	}
	if err := d.out.SendText(text); err != nil {
		return ErrClosed // by the other side
	}
	return nil
}
