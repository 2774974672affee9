package explain

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
)

// A journal takes down what passes between clients and servers of this module.
type journal struct {
	mu      sync.Mutex
	entries []capture.Entry
	serving sync.WaitGroup
}

// connect returns the client's end of a connection that is taken down. The other end is
// served.
func (j *journal) connect(conn, url string, serve func(transport.Conn)) transport.Conn {
	near, far := transport.Pipe()
	j.add(opened(conn, url))
	j.serving.Go(func() { serve(far) })
	return &tap{Conn: near, journal: j, name: conn}
}

func (j *journal) add(e capture.Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, e)
}

// arrows explains all that was taken down, once nothing more passes.
func (j *journal) arrows(t *testing.T, protocol string) []Arrow {
	t.Helper()
	j.serving.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	return explained(t, protocol, numbered(slices.Clone(j.entries)))
}

// A tap takes down what passes through a connection, before it passes.
type tap struct {
	transport.Conn
	journal *journal
	name    string
}

func (c *tap) Write(typ transport.MessageType, msg []byte) error {
	c.take(capture.Client, typ, msg)
	return c.Conn.Write(typ, msg)
}

func (c *tap) Read(buf []byte) (transport.MessageType, []byte, error) {
	typ, msg, err := c.Conn.Read(buf)
	if err == nil {
		c.take(capture.Server, typ, msg)
	}
	return typ, msg, err
}

func (c *tap) take(from capture.Side, typ transport.MessageType, msg []byte) {
	e := message(c.name, from, "")
	e.Data, e.Binary = bytes.Clone(msg), typ == transport.Binary
	c.journal.add(e)
}

// namesOf are the names of the messages of a connection from a side.
func namesOf(arrows []Arrow, conn string, from capture.Side) (names []string) {
	for _, a := range arrows {
		if a.Conn == conn && a.From == from && a.Kind == Message {
			names = append(names, a.Name)
		}
	}
	return names
}

func requireNoProblems(t *testing.T, arrows []Arrow) {
	t.Helper()
	for _, a := range arrows {
		require.Empty(t, a.Problems, "%d %s %s %s", a.Seq, a.Conn, a.From, a.Name)
	}
}

func TestTheEasyRTCOfThisModuleHasNoProblems(t *testing.T) {
	t.Parallel()
	for _, version := range []engineio.Version{engineio.V3, engineio.V4} {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			server := easyrtc.NewServer(&easyrtc.ServerOptions{AllowAll: true})
			defer server.Close()
			var j journal
			login := func(name string) *easyrtc.Client {
				url := fmt.Sprintf("/socket.io/?EIO=%d&transport=websocket", version)
				conn := j.connect(name, url, func(conn transport.Conn) {
					if engine, err := engineio.Server(conn, &engineio.Options{Version: version}); err == nil {
						_ = server.Serve(ctx, engine)
					}
				})
				client, err := easyrtc.Connect(ctx, engineio.Client(conn, &engineio.Options{Version: version}), nil)
				require.NoError(t, err)
				_, err = client.Login(ctx, &easyrtc.Login{Username: name, Rooms: []string{"room"}})
				require.NoError(t, err)
				return client
			}
			alice, bob := login("alice"), login("bob")
			to := bob.EasyrtcID()
			for _, m := range []easyrtc.Message{
				&easyrtc.Offer{TargetEasyrtcID: to, MsgData: json.RawMessage(`{"type":"offer","sdp":"v=0\r\nm=audio 9 x 0\r\n"}`)},
				&easyrtc.Candidate{TargetEasyrtcID: to, MsgData: json.RawMessage(`{"type":"candidate","candidate":""}`)},
				&easyrtc.Msg{MsgType: "m", TargetEasyrtcID: to, MsgData: json.RawMessage(`{"_placeholder":true,"num":0}`),
					Packet: easyrtc.Packet{Attachments: [][]byte{{1, 2}}}},
				&easyrtc.Hangup{TargetEasyrtcID: to},
				&easyrtc.GetRoomList{},
			} {
				_, err := alice.Call(ctx, m)
				require.NoError(t, err)
			}
			require.NoError(t, alice.SetPresence(ctx, easyrtc.ShowAway, "out"))
			for {
				m, err := bob.Next(ctx)
				require.NoError(t, err)
				if room, ok := m.(*easyrtc.RoomData); ok && bytes.Contains(mustEncode(t, room), []byte(`"away"`)) {
					break
				}
			}
			require.NoError(t, alice.Close())
			require.NoError(t, bob.Close())
			arrows := j.arrows(t, "easyrtc")
			requireNoProblems(t, arrows)
			require.Subset(t, namesOf(arrows, "alice", capture.Client), []string{"authenticate", "offer", "candidate", "m",
				"hangup", "getRoomList", "setPresence", "disconnect"})
			require.Subset(t, namesOf(arrows, "bob", capture.Server),
				[]string{"token (authenticate)", "offer", "candidate", "m", "hangup", "roomData"})
		})
	}
}

func mustEncode(tb testing.TB, m easyrtc.Message) []byte {
	tb.Helper()
	data, err := easyrtc.Encode(m)
	require.NoError(tb, err)
	return data
}

func TestTheMediasoupOfThisModuleHasNoProblems(t *testing.T) {
	t.Parallel()
	for name, framing := range map[string]mediasoupproto.Framing{
		"protoo": mediasoupproto.Protoo, "protoo 2": mediasoupproto.Protoo2,
		"type and body": mediasoupproto.TypeBody, "Socket.IO": mediasoupproto.SocketIO,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			server := mediasoupproto.NewServer(&mediasoupproto.ServerOptions{AllowAll: true, Framing: framing})
			defer server.Close()
			var j journal
			enter := func(name string) (*mediasoupproto.Client, *mediasoupproto.ExtendedRTPCapabilities) {
				var conn transport.Conn
				if framing == mediasoupproto.SocketIO {
					conn = engineio.Client(j.connect(name, easyrtcPath, func(conn transport.Conn) {
						if engine, err := engineio.Server(conn, nil); err == nil {
							_ = server.Serve(ctx, engine)
						}
					}), nil)
				} else {
					conn = j.connect(name, mediasoupPath, func(conn transport.Conn) { _ = server.Serve(ctx, conn) })
				}
				client, err := mediasoupproto.Connect(ctx, conn, &mediasoupproto.ClientOptions{Framing: framing})
				require.NoError(t, err)
				room, err := client.QueryRoom(ctx)
				require.NoError(t, err)
				common := mediasoupproto.ExtendRTPCapabilities(room.RTPCapabilities, room.RTPCapabilities)
				_, err = client.Join(ctx, &mediasoupproto.Join{PeerName: name, RTPCapabilities: common.RTPCapabilities()})
				require.NoError(t, err)
				return client, common
			}
			bob, _ := enter("bob")
			alice, common := enter("alice")
			_, err := alice.CreateTransport(ctx, &mediasoupproto.CreateTransport{
				ID: 10, Direction: mediasoupproto.DirectionSend,
				DTLSParameters: &mediasoupproto.DTLSParameters{Role: mediasoupproto.DTLSRoleServer,
					Fingerprints: []mediasoupproto.Fingerprint{{Algorithm: "sha-256", Value: "AB:CD"}}}})
			require.NoError(t, err)
			params := common.SendingRTPParameters(mediasoupproto.Audio)
			params.MuxID, params.Encodings = "0", []mediasoupproto.Encoding{{SSRC: 12345}}
			require.NoError(t, alice.CreateProducer(ctx, &mediasoupproto.CreateProducer{
				ID: 20, Kind: mediasoupproto.Audio, TransportID: 10, RTPParameters: params}))
			require.NoError(t, alice.Send(&mediasoupproto.PauseProducer{ID: 20}))
			require.NoError(t, alice.Leave(nil))
			for gone := false; !gone; {
				m, err := bob.Next(ctx)
				require.NoError(t, err)
				_, gone = m.(*mediasoupproto.PeerClosed)
			}
			require.NoError(t, alice.Close())
			require.NoError(t, bob.Close())
			arrows := j.arrows(t, "mediasoup")
			requireNoProblems(t, arrows)
			require.Equal(t, []string{"queryRoom", "join", "createTransport", "createProducer", "pauseProducer", "leave"},
				namesOf(arrows, "alice", capture.Client)[:6])
			require.Subset(t, namesOf(arrows, "bob", capture.Server),
				[]string{"response queryRoom", "response join", "newPeer", "newConsumer", "peerClosed"})
		})
	}
}
