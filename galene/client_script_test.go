package galene

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
	Versions []string
	Redial   bool
	Rejoin   json.RawMessage // the join that a new connection begins with
}

func readClientScene(t *testing.T, s *script.Script) (sc clientScene) {
	s.Config(t, &sc)
	return sc
}

func (sc clientScene) rejoin() *Join {
	if sc.Rejoin == nil {
		return nil
	}
	m, err := Decode(sc.Rejoin)
	if err != nil {
		panic(err)
	}
	return m.(*Join)
}

// countedIDs makes the ids c1, c2 and so on.
func countedIDs() func() string {
	n := 0
	return func() string {
		n++
		return fmt.Sprint("c", n)
	}
}

// clientDawn is when the tests' clocks begin: when those of synctest do.
var clientDawn = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// clientText is a message as the tests of the client show it.
func clientText(m Message) string {
	if _, ok := m.(*Reconnected); ok {
		return `{"type":"reconnected"}`
	}
	b, err := Encode(m)
	if err != nil {
		return name(m)
	}
	return string(b)
}

func heardByClient(m Message) script.Event {
	if u, ok := m.(*User); ok && u.Initial {
		return script.Event{Data: fmt.Appendf(nil, `{"initial":%s}`, clientText(m))}
	}
	return script.Event{Data: []byte(clientText(m))}
}

// hasReply reports whether a message of the application is a call.
func hasReply(m Message) bool {
	_, isJoin := m.(*Join)
	return isJoin || answerTo(m) != ""
}

// clientSpeech is what scripts must know of the messages.
var clientSpeech = script.Speech[Message]{
	Name: "galene", Decode: Decode, Heard: heardByClient, Type: Message.wireType, Asks: hasReply,
}

// newClientWire returns a machine with the codec around it: bytes in, bytes out.
func newClientWire(sc clientScene) *script.ClientWire[Message, Effects] {
	m := NewClientMachine(ClientConfig{Versions: sc.Versions, NewID: countedIDs()})
	decode := decoder(DefaultMessageBytes, false)
	return &script.ClientWire[Message, Effects]{
		Speech: clientSpeech, Machine: m, Effects: clientScript, Redial: sc.Redial,
		Opens: func() {
			if join := sc.rejoin(); join != nil {
				m.SetJoin(join)
			}
		},
		Ready: func() bool { return m.ready },
		Received: func(now time.Time, sent script.Message) Effects {
			msg, err := decode(sent.Type(), sent.Data)
			if err != nil {
				return m.Malformed(now, asDecodeError(err))
			}
			return m.Receive(now, msg)
		},
		Encode: func(msg Message) []script.Event {
			data, err := dialectOf(m.Version()).Encode(msg)
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
			opts := &ClientOptions{Versions: sc.Versions, NewID: countedIDs(), Redial: again}
			if again != nil && sc.Rejoin != nil {
				opts.Rejoin = func(context.Context, *Join) (*Join, error) { return sc.rejoin(), nil }
			}
			return Connect(ctx, conn, opts)
		},
		Call: func(ctx context.Context, c *Client, msg Message) error {
			_, err := c.call(ctx, msg)
			return err
		},
	}
}

// requireClientForgets demands that nothing of a connection that has ended is left.
func requireClientForgets(t testing.TB, m *ClientMachine) {
	t.Helper()
	require.Contains(t, []ClientState{ClientIdle, ClientClosed}, m.State())
	require.Empty(t, m.Group())
	require.Empty(t, m.Username())
	require.Empty(t, m.Permissions())
	require.Nil(t, m.Status())
	require.Empty(t, m.Data())
	require.Empty(t, m.Users())
	require.Empty(t, m.up)
	require.Empty(t, m.down)
	require.Empty(t, m.ended)
	require.Empty(t, m.pending)
	require.Nil(t, m.joining)
	_, due := m.Deadline()
	require.False(t, due, "a deadline for nothing")
}
