package easyrtc

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// clientsRooms is the peer in scripts of a client that tells what the client knows of its
// rooms whenever that has changed.
const clientsRooms = "rooms"

func TestClientScriptsOnTheMachine(t *testing.T) {
	script.OnMachine(t, script.Client(t), func(t *testing.T, s *script.Script) (script.Target, func(*testing.T)) {
		return newClientWire(readClientScene(t, s)), func(*testing.T) {}
	})
}

func TestClientScriptsOnTheDriver(t *testing.T) {
	script.OnDriver(t, script.Client(t), func(t *testing.T, s *script.Script) (script.Target, func(*testing.T)) {
		p := newClientPipes(readClientScene(t, s))
		return p, func(t *testing.T) {
			p.Finish(t, func(c *Client) {
				require.Zero(t, c.calls.Len())
				requireClientForgets(t, c.machine)
			})
		}
	})
}

// A clientScene is the config section of a script.
type clientScene struct {
	Redial   bool
	EngineIO int
	Relogin  json.RawMessage // the msgData that a new connection logs in with
	Pending  int
}

func readClientScene(t *testing.T, s *script.Script) (sc clientScene) {
	s.Config(t, &sc)
	return sc
}

func (sc clientScene) relogin() *Authenticate {
	if sc.Relogin == nil {
		return nil
	}
	return loginOf(string(sc.Relogin))
}

// loginOf returns the message of a login.
func loginOf(data string) *Authenticate {
	m, err := Decode([]byte(`2["easyrtcAuth",{"msgType":"authenticate","msgData":` + data + `}]`))
	if err != nil {
		panic(err)
	}
	return m.(*Authenticate)
}

// clientDawn is when the tests' clocks begin: when those of synctest do.
var clientDawn = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// clientText is a message as the tests of the client show it.
func clientText(m Message) string {
	if _, ok := m.(*Reconnected); ok {
		return `"reconnected"`
	}
	b, err := Encode(m)
	if err != nil {
		return fmt.Sprintf("%T", m)
	}
	return string(b)
}

func heardByClient(m Message) script.Event { return packetEvent([]byte(clientText(m))) }

// clientRooms is what a client knows of its rooms.
func clientRooms(rooms map[string]*Room) string {
	b, err := Encode(&RoomData{MsgData: &RoomDataData{RoomData: rooms}})
	if err != nil {
		panic(err)
	}
	_, b, _ = bytes.Cut(b, []byte(`"roomData":`))
	return string(bytes.TrimSuffix(b, []byte("}}]")))
}

// hasReply reports whether a message of the application waits for an acknowledgement.
func hasReply(m Message) bool {
	p := m.packet()
	return p != nil && !p.Ack
}

// newRooms tells what a client knows of its rooms if it is something else than last time.
func newRooms(rooms func() map[string]*Room) func() (script.Event, bool) {
	last := "null"
	return func() (script.Event, bool) {
		text := clientRooms(rooms())
		if text == "{}" {
			text = "null"
		}
		if text == last {
			return script.Event{}, false
		}
		last = text
		return script.Event{Data: []byte(text)}, true
	}
}

// clientSpeech is what scripts must know of the messages, and of the rooms.
func clientSpeech(rooms func() map[string]*Room) script.Speech[Message] {
	return script.Speech[Message]{
		Name: "easyrtc", Heard: heardByClient, Type: Message.wireType, Asks: hasReply,
		Decode: func(data []byte) (Message, error) { return Decode(sentPacket(script.Message{Data: data}).Data) },
		Extras: map[string]func() (script.Event, bool){clientsRooms: newRooms(rooms)},
	}
}

// newClientWire returns a machine with the codec around it: packets in, packets out.
func newClientWire(sc clientScene) *script.ClientWire[Message, Effects] {
	m := NewClientMachine(ClientConfig{EngineIO: sc.EngineIO, Pending: sc.Pending})
	var decoder *Decoder // of the present connection
	return &script.ClientWire[Message, Effects]{
		Speech: clientSpeech(m.Rooms), Machine: m, Effects: clientScript, Redial: sc.Redial, Ready: m.Ready,
		Opens: func() {
			decoder = &Decoder{Limit: 2 * DefaultMessageBytes}
			if login := sc.relogin(); login != nil {
				m.SetLogin(login)
			}
		},
		Received: func(now time.Time, sent script.Message) Effects {
			switch msg, err := decoder.Decode(sent.Type(), sentPacket(sent).Data); {
			case err != nil:
				return m.Malformed(now, asDecodeError(err))
			case msg != nil:
				return m.Receive(now, msg)
			}
			return Effects{}
		},
		Encode: func(msg Message) []script.Event {
			data, err := Encode(msg)
			if err != nil {
				panic(err)
			}
			events := []script.Event{packetEvent(data)}
			for _, a := range attachments(msg) {
				events = append(events, packetEvent(a))
			}
			return events
		},
		Quit: func(now time.Time, _ int) Effects { return m.Close(now) },
	}
}

// clientScript returns effects as scripts have them.
func clientScript(fx Effects) script.ClientEffects[Message] {
	all := script.ClientEffects[Message]{Send: fx.Send, Deliver: fx.Deliver, Close: (*script.ClientClose)(fx.Close)}
	for _, r := range fx.Done {
		all.Done = append(all.Done, script.ClientReply[Message]{Request: r.Request, Err: r.Err})
	}
	return all
}

// newClientPipes returns a client over pipes.
func newClientPipes(sc clientScene) *script.ClientPipes[Message, *Client] {
	p := &script.ClientPipes[Message, *Client]{
		Redials: sc.Redial,
		Dial: func(ctx context.Context, conn transport.Conn, again script.Redial) (*Client, error) {
			opts := &ClientOptions{Pending: sc.Pending, Redial: again}
			if again != nil && sc.Relogin != nil {
				opts.Relogin = func(context.Context, *Authenticate) (*Authenticate, error) { return sc.relogin(), nil }
			}
			return Connect(ctx, conn, opts)
		},
		Wrap: func(conn transport.Conn) transport.Conn { return versioned{conn, cmp.Or(sc.EngineIO, 4)} },
		Call: func(ctx context.Context, c *Client, msg Message) error {
			_, err := c.Call(ctx, msg)
			return err
		},
	}
	p.Speech = clientSpeech(func() map[string]*Room {
		if c, ok := p.Client(); ok {
			return c.Rooms()
		}
		return nil
	})
	p.Say, p.Hear = sentPacket, func(data []byte, _ bool) script.Event { return packetEvent(data) }
	return p
}

// requireClientForgets demands that nothing of a connection that has ended is left.
func requireClientForgets(t testing.TB, m *ClientMachine) {
	t.Helper()
	require.Contains(t, []ClientState{ClientIdle, ClientClosed}, m.State())
	require.Empty(t, m.Rooms())
	require.Empty(t, m.pending)
	_, due := m.Deadline()
	require.False(t, due, "a deadline for nothing")
}
