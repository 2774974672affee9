package mediasoupproto

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
)

// A framingCase is a framing and what carries it.
type framingCase struct {
	name    string
	framing Framing
	carry   func(t *testing.T) (client, server transport.Conn)
}

func clientFramings() []framingCase {
	pipe := func(*testing.T) (client, server transport.Conn) { return transport.Pipe() }
	engine := func(v engineio.Version) func(t *testing.T) (client, server transport.Conn) {
		return func(t *testing.T) (client, server transport.Conn) {
			near, far := relayed()
			server, err := engineio.Server(far, &engineio.Options{Version: v})
			require.NoError(t, err)
			return engineio.Client(near, &engineio.Options{Version: v}), server
		}
	}
	return []framingCase{
		{"protoo", Protoo, pipe},
		{"protoo 2", Protoo2, pipe},
		{"type and body", TypeBody, pipe},
		{"Socket.IO over Engine.IO 3", SocketIO, engine(engineio.V3)},
		{"Socket.IO over Engine.IO 4", SocketIO, engine(engineio.V4)},
	}
}

// relayed returns the ends of a connection that takes a message each way before it is read, as
// networks do.
func relayed() (near, far transport.Conn) {
	near, a := transport.Pipe()
	b, far := transport.Pipe()
	pump := func(from, to transport.Conn) {
		for {
			typ, data, err := from.Read(nil)
			if err == nil {
				err = to.Write(typ, data)
			}
			if err == nil {
				continue
			}
			code := transport.StatusAbnormal
			if closed, ok := errors.AsType[*transport.CloseError](err); ok {
				code = closed.Code
			}
			_, _ = from.Close(code, ""), to.Close(code, "")
			return
		}
	}
	go pump(a, b)
	go pump(b, a)
	return near, far
}

func TestClientAndServerTalkInEveryFraming(t *testing.T) {
	t.Parallel()
	for _, tt := range clientFramings() {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				var notes []string
				s := NewServer(&ServerOptions{
					Framing: tt.framing, AllowAll: true, Media: &NullEngine{Effective: ProfileDefault},
					Message: func(_ context.Context, _ *ServerSession, m *Application) (json.RawMessage, error) {
						if m.Method == "note" { // which is a request in protoo 2, as everything
							notes = append(notes, m.Method+string(m.Data))
							return nil, nil
						}
						if m.Method == "no" {
							return nil, &Error{Code: CodeFailed, Reason: "Error: no"}
						}
						return m.Data, nil
					},
				})
				enter := func(name string) *Client {
					near, far := tt.carry(t)
					go func() { _ = s.Serve(context.Background(), far) }()
					c, err := Connect(ctx, near, &ClientOptions{Framing: tt.framing})
					require.NoError(t, err)
					room, err := c.QueryRoom(ctx)
					require.NoError(t, err)
					require.NotEmpty(t, room.RTPCapabilities.Codecs)
					_, err = c.Join(ctx, &Join{PeerName: name, RTPCapabilities: room.RTPCapabilities})
					require.NoError(t, err)
					return c
				}
				alice, bob := enter("alice"), enter("bob")
				m, err := alice.Next(ctx)
				require.NoError(t, err)
				require.Equal(t, "bob", m.(*NewPeer).Name)

				// Bob sends, Alice receives.
				fingerprints := []Fingerprint{{Algorithm: "sha-256", Value: "AA:BB"}}
				made, err := bob.CreateTransport(ctx, &CreateTransport{ID: 1, Direction: DirectionSend,
					DTLSParameters: &DTLSParameters{Role: DTLSRoleServer, Fingerprints: fingerprints}})
				require.NoError(t, err)
				require.NotEmpty(t, made.ICEParameters.Password)
				params := ExtendRTPCapabilities(bob.Room().RTPCapabilities, bob.Room().RTPCapabilities).SendingRTPParameters(Audio)
				params.MuxID, params.Encodings = "0", []Encoding{{SSRC: 5}}
				require.NoError(t, bob.CreateProducer(ctx, &CreateProducer{
					ID: 2, Kind: Audio, TransportID: 1, RTPParameters: params, AppData: json.RawMessage(`"née"`),
				}))
				m, err = alice.Next(ctx)
				require.NoError(t, err)
				consumer := m.(*NewConsumer)
				require.JSONEq(t, `"née"`, string(consumer.AppData))
				_, err = alice.CreateTransport(ctx, &CreateTransport{ID: 3, Direction: DirectionRecv})
				require.NoError(t, err)
				require.NoError(t, alice.UpdateTransport(&UpdateTransport{ID: 3,
					DTLSParameters: &DTLSParameters{Role: DTLSRoleClient, Fingerprints: fingerprints}}))
				enabled, err := alice.EnableConsumer(ctx, &EnableConsumer{ID: consumer.ID, TransportID: 3})
				require.NoError(t, err)
				require.False(t, enabled.Paused)
				require.NoError(t, bob.Send(&PauseProducer{ID: 2}))
				m, err = alice.Next(ctx)
				require.NoError(t, err)
				require.Equal(t, consumer.ID, m.(*ConsumerPaused).ID)

				// Refusals have their texts in every framing, and applications their say.
				_, err = alice.EnableConsumer(ctx, &EnableConsumer{ID: consumer.ID, TransportID: 3})
				require.ErrorIs(t, err, ErrConsumerEnabled)
				echo, err := alice.Ask(ctx, "echo", json.RawMessage(`{"a":[1]}`))
				require.NoError(t, err)
				require.JSONEq(t, `{"a":[1]}`, string(echo))
				_, err = alice.Ask(ctx, "no", nil)
				require.ErrorIs(t, err, &Error{Reason: "Error: no"})
				require.NoError(t, alice.Send(&Application{Method: "note", Data: json.RawMessage(`{"b":1}`)}))

				require.NoError(t, bob.Leave(nil))
				m, err = alice.Next(ctx)
				require.NoError(t, err)
				require.Equal(t, "bob", m.(*PeerClosed).Name)
				synctest.Wait()
				require.Equal(t, []string{`note{"b":1}`}, notes)
				require.NoError(t, alice.Close())
				require.NoError(t, bob.Close())
				require.NoError(t, s.Close())
				synctest.Wait()
				require.Zero(t, s.machine.Len())
			})
		})
	}
}

// TestPipelinedRequestsKeepTheirOrderInEveryFraming sends all that belongs to a transport
// without waiting.
func TestPipelinedRequestsKeepTheirOrderInEveryFraming(t *testing.T) {
	t.Parallel()
	for _, tt := range clientFramings() {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				s := NewServer(&ServerOptions{Framing: tt.framing, AllowAll: true})
				near, far := tt.carry(t)
				go func() { _ = s.Serve(context.Background(), far) }()
				c, err := Connect(ctx, near, &ClientOptions{Framing: tt.framing})
				require.NoError(t, err)
				caps := DefaultCapabilities()
				_, err = c.Join(ctx, &Join{PeerName: "alice", RTPCapabilities: caps})
				require.NoError(t, err)
				results := make(chan error, 3)
				call := func(m Message) {
					go func() { _, err := c.Call(ctx, m); results <- err }()
					synctest.Wait()
				}
				params := ExtendRTPCapabilities(caps, caps).SendingRTPParameters(Audio)
				params.Encodings = []Encoding{{SSRC: 5}}
				call(&CreateTransport{ID: 1, Direction: DirectionSend})
				call(&CreateProducer{ID: 2, Kind: Audio, TransportID: 1, RTPParameters: params})
				require.NoError(t, c.Send(&PauseProducer{ID: 2}))
				call(&RestartTransport{ID: 1})
				for range 3 {
					require.NoError(t, <-results)
				}
				require.NoError(t, c.Close())
				require.NoError(t, s.Close())
			})
		})
	}
}

// TestWhatAFramingCannotSayIsRefused is about messages that would end the connection.
func TestWhatAFramingCannotSayIsRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range clientFramings() {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := NewServer(&ServerOptions{Framing: tt.framing})
				near, far := tt.carry(t)
				go func() { _ = s.Serve(context.Background(), far) }()
				c, err := Connect(t.Context(), near, &ClientOptions{Framing: tt.framing})
				require.NoError(t, err)
				refused := map[Message]bool{
					&Application{Method: "\xff"}: true, &Application{Method: ""}: true, &Application{Method: MethodRequest}: true,
					&Application{Method: "a", Data: json.RawMessage("{")}: true,
					&Response{}:                           true,
					&Response{Head: Head{RequestID: "x"}}: true,
					&Response{Head: Head{RequestID: "1"}, Error: &Error{Reason: "\xff"}}:                   true,
					&Application{Method: "disconnect"}:                                                     tt.framing == SocketIO,
					&Application{Head: Head{RequestID: "1"}, Method: "connect"}:                            tt.framing == SocketIO,
					&Response{Head: Head{RequestID: "-1.5"}}:                                               tt.framing == SocketIO,
					&Application{Method: "ours"}:                                                           false,
					&Response{Head: Head{RequestID: "1"}, Error: &Error{Code: 1, Reason: "née"}}:           false,
					&Response{Head: Head{RequestID: "1"}, Result: json.RawMessage(`{"a":"\ud83d\ude00"}`)}: false,
				}
				for m, want := range refused {
					err := c.Send(m)
					_, ok := errors.AsType[*ValidationError](err)
					require.Equal(t, want, ok, "%#v: %v", m, err)
					if !want {
						require.NoError(t, err)
					}
				}
				_, err = c.QueryRoom(t.Context())
				require.NoError(t, err, "the connection lives on")
				require.NoError(t, c.Close())
				require.NoError(t, s.Close())
			})
		})
	}
}

func TestSocketIOThatIsNeverOpenedEndsInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := relayed()
		server, err := engineio.Server(far, nil)
		require.NoError(t, err)
		go func() {
			for err := error(nil); err == nil; {
				_, _, err = server.Read(nil)
			}
		}()
		c, err := Connect(t.Context(), engineio.Client(near, nil), &ClientOptions{Framing: SocketIO})
		require.NoError(t, err)
		begin := time.Now()
		_, err = c.QueryRoom(t.Context())
		require.ErrorIs(t, err, ErrCallTimeout)
		require.Equal(t, DefaultCallTimeout, time.Since(begin))
		for range maxWaiting + 1 {
			_ = c.Send(&Application{Method: "a"})
			synctest.Wait()
		}
		<-c.Done()
		require.ErrorIs(t, c.Err(), errNotOpen)
	})
}
