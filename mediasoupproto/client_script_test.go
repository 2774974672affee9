package mediasoupproto

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

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
	Redial  bool
	Rejoin  json.RawMessage // the join that a new connection begins with
	Framing string          // "" is Protoo
	Pending int
}

func readClientScene(t *testing.T, s *script.Script) (sc clientScene) {
	s.Config(t, &sc)
	return sc
}

func (sc clientScene) framing() Framing {
	return map[string]Framing{"": Protoo, "protoo2": Protoo2, "typebody": TypeBody}[sc.Framing]
}

func (sc clientScene) rejoin() *Join {
	if sc.Rejoin == nil {
		return nil
	}
	m, err := decodeOfClient(sc.Rejoin)
	if err != nil {
		panic(err)
	}
	return m.(*Join)
}

// clientDawn is when the clocks of the client's tests begin: when those of synctest do.
var clientDawn = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// decodeOfClient reads a message as the client's tests write it: a payload without a framing,
// or all of a frame of Protoo, which has data unless it is a refusal.
func decodeOfClient(data []byte) (Message, error) {
	var frame struct {
		Data, Request, Response json.RawMessage
		Notification            bool
	}
	err := json.Unmarshal(data, &frame)
	if err != nil || frame.Data != nil || frame.Request != nil || frame.Response != nil {
		return Decode(data)
	}
	if frame.Notification {
		return DecodePayload("", data)
	}
	return DecodePayload("0", data)
}

// clientText is a message as the tests of the client show it.
func clientText(m Message) string {
	switch m := m.(type) {
	case *Reconnected:
		text := `{"reconnected":{"room":` + fmt.Sprint(m.Room != nil)
		if m.Joined != nil {
			names := []string{}
			for _, p := range m.Joined.Peers {
				names = append(names, p.Name)
			}
			b, _ := json.Marshal(names)
			text += `,"peers":` + string(b)
		}
		return text + "}}"
	case *Application, *Response:
		if b, err := Encode(m); err == nil {
			return string(b)
		}
	}
	b, err := EncodePayload(m)
	if err != nil {
		return name(m)
	}
	return string(b)
}

// clientSpeech is what scripts must know of the messages.
var clientSpeech = script.Speech[Message]{
	Name: "mediasoupproto", Decode: decodeOfClient, Type: name, Asks: isRequest,
	Heard: func(m Message) script.Event { return script.Event{Data: []byte(clientText(m))} },
}

// newClientWire returns a machine with the codec around it: bytes in, bytes out.
func newClientWire(sc clientScene) *script.ClientWire[Message, Effects] {
	m, framing := NewClientMachine(ClientConfig{Pending: sc.Pending}), sc.framing()
	decode := decoder(framing, DefaultMessageBytes)
	return &script.ClientWire[Message, Effects]{
		Speech: clientSpeech, Machine: m, Effects: clientScript, Redial: sc.Redial,
		Opens: func() {
			if join := sc.rejoin(); join != nil {
				m.SetJoin(join)
			}
		},
		Ready: m.Ready,
		Received: func(now time.Time, sent script.Message) Effects {
			msg, err := decode(sent.Type(), sent.Data)
			if err != nil {
				return m.Malformed(now, asDecodeError(err))
			}
			return m.Receive(now, msg)
		},
		Encode: func(msg Message) []script.Event {
			data, err := EncodeFramed(framing, msg)
			if err != nil {
				panic(err)
			}
			return []script.Event{{Data: data}}
		},
		Quit: func(_ time.Time, code int) Effects {
			return Effects{Close: &CloseReason{Code: transport.StatusCode(code), Final: true}}
		},
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
	return &script.ClientPipes[Message, *Client]{
		Speech: clientSpeech, Redials: sc.Redial,
		Dial: func(ctx context.Context, conn transport.Conn, again script.Redial) (*Client, error) {
			opts := &ClientOptions{Redial: again, Framing: sc.framing(), Pending: sc.Pending}
			if again != nil && sc.Rejoin != nil {
				opts.Rejoin = func(context.Context, *Join) (*Join, error) { return sc.rejoin(), nil }
			}
			return connectCounted(ctx, conn, opts)
		},
		Call: func(ctx context.Context, c *Client, msg Message) error {
			_, err := c.Call(ctx, msg)
			return err
		},
	}
}

// connectCounted is Connect for a client that counts its requests.
func connectCounted(ctx context.Context, conn transport.Conn, opts *ClientOptions) (*Client, error) {
	c, err := Connect(ctx, conn, opts)
	if err == nil {
		c.end.Locked(func() { c.machine.cfg.NewID = nil })
	}
	return c, err
}

// requireClientForgets demands that nothing of a connection that has ended is left.
func requireClientForgets(t testing.TB, m *ClientMachine) {
	t.Helper()
	require.Contains(t, []ClientState{ClientIdle, ClientClosed}, m.State())
	require.False(t, m.Ready())
	require.Empty(t, m.pending)
	require.Zero(t, m.queued)
	require.Empty(t, m.lanes)
	_, due := m.Deadline()
	require.False(t, due, "a deadline for nothing")
	if m.State() == ClientIdle {
		require.Empty(t, m.owners)
		require.Empty(t, m.Peers())
		require.Empty(t, m.consumers)
		require.Empty(t, m.early)
	}
	require.Nil(t, m.Joined())
}
