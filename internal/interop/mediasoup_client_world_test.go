package interop

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A mediasoupClient is our client, which keeps what it is told.
type mediasoupClient struct {
	*mediasoupproto.Client
	*hearing[mediasoupproto.Message]
	s          *eitherMediasoup
	room, name string
	conn       transport.Conn // the first one
	mark       uint32         // a transport for settle
}

// connect connects a client. opts may be nil.
func (s *eitherMediasoup) connect(
	t *testing.T, room, name string, opts *mediasoupproto.ClientOptions,
) *mediasoupClient {
	t.Helper()
	ctx := bounded(t)
	conn, err := s.dial(ctx, room, name)
	require.NoError(t, err)
	o := mediasoupproto.ClientOptions{}
	if opts != nil {
		o = *opts
	}
	o.Framing = mediasoupFramings[s.envelope]
	inner, err := mediasoupproto.Connect(ctx, conn, &o)
	require.NoError(t, err)
	c := &mediasoupClient{
		Client: inner, hearing: newHearing(t, mediasoupproto.Encode), s: s, room: room, name: name, conn: conn,
	}
	c.listen(func() error { return c.all(c.Messages(context.Background())) }, c.Close)
	return c
}

// entrance is what a client of all that a room can do joins with.
func entrance(name, appData string) *mediasoupproto.Join {
	m := &mediasoupproto.Join{PeerName: name, RTPCapabilities: mediasoupRoom()}
	if appData != "" {
		m.AppData = json.RawMessage(appData)
	}
	return m
}

// join connects a client that joins.
func (s *eitherMediasoup) join(t *testing.T, room, name string) *mediasoupClient {
	t.Helper()
	c := s.connect(t, room, name, nil)
	_, err := c.Join(bounded(t), entrance(name, ""))
	require.NoError(t, err)
	return c
}

// tells returns the next message of a type for which match, unless it is nil, says yes, after
// the last one that it has returned.
func tells[E mediasoupproto.Message](c *mediasoupClient, what string, match func(E) bool) E {
	c.t.Helper()
	return nextOf(c.hearing, what, match)
}

// opens creates a transport and returns its id.
func (c *mediasoupClient) opens(direction mediasoupproto.Direction) uint32 {
	c.t.Helper()
	id := mediasoupproto.NewID()
	m := &mediasoupproto.CreateTransport{ID: id, Direction: direction, Options: new(mediasoupproto.TransportOptions)}
	want := mediasoupproto.DTLSRoleAuto
	if direction == mediasoupproto.DirectionSend {
		m.DTLSParameters = clientDTLS(mediasoupproto.DTLSRoleServer)
		want = mediasoupproto.DTLSRoleClient
	}
	result, err := c.CreateTransport(bounded(c.t), m)
	require.NoError(c.t, err)
	require.Equal(c.t, want, result.DTLSParameters.Role)
	require.True(c.t, result.ICEParameters.ICELite)
	require.Len(c.t, result.ICECandidates, 2)
	require.Nil(c.t, result.PlainRTPParameters)
	return id
}

func clientDTLS(role mediasoupproto.DTLSRole) *mediasoupproto.DTLSParameters {
	p := new(mediasoupproto.DTLSParameters)
	if err := json.Unmarshal([]byte(mediasoupDTLS), p); err != nil {
		panic(err)
	}
	p.Role = role
	return p
}

// produces creates a producer over a transport, and returns its id. Only one of the client's
// can have the mux id.
func (c *mediasoupClient) produces(over uint32, muxID string, more func(m *mediasoupproto.CreateProducer)) uint32 {
	c.t.Helper()
	m := &mediasoupproto.CreateProducer{ID: mediasoupproto.NewID(), Kind: mediasoupproto.Audio, TransportID: over}
	room := mediasoupRoom()
	m.RTPParameters = mediasoupproto.ExtendRTPCapabilities(room, room).SendingRTPParameters(m.Kind)
	m.RTPParameters.MuxID = mediasoupproto.MuxID(muxID)
	m.RTPParameters.Encodings = []mediasoupproto.Encoding{{SSRC: mediasoupproto.NewID()}}
	m.RTPParameters.RTCP = &mediasoupproto.RTCPParameters{CNAME: new("cname of " + c.name)}
	if more != nil {
		more(m)
	}
	require.NoError(c.t, c.CreateProducer(bounded(c.t), m))
	return m.ID
}

// hears waits for a new consumer and returns its id.
func (c *mediasoupClient) hears(of string) uint32 {
	c.t.Helper()
	m := tells(c, "newConsumer", func(m *mediasoupproto.NewConsumer) bool { return m.PeerName == of })
	require.NoError(c.t, m.Validate())
	return m.ID
}

// enables enables a consumer over a new transport.
func (c *mediasoupClient) enables(id uint32) {
	c.t.Helper()
	over := c.opens(mediasoupproto.DirectionRecv)
	require.NoError(c.t, c.UpdateTransport(&mediasoupproto.UpdateTransport{
		ID: over, DTLSParameters: clientDTLS(mediasoupproto.DTLSRoleClient),
	}))
	result, err := c.EnableConsumer(bounded(c.t), &mediasoupproto.EnableConsumer{ID: id, TransportID: over})
	require.NoError(c.t, err)
	require.Equal(c.t, &mediasoupproto.EnableConsumerResult{
		Paused: false, PreferredProfile: mediasoupproto.ProfileDefault,
	}, result)
}

// settle waits until the client has been told of everything that the server did before, and
// returns what it was told since the last message that was expected.
func (c *mediasoupClient) settle() (told []mediasoupproto.Message) {
	c.t.Helper()
	if c.mark == 0 {
		c.mark = c.opens(mediasoupproto.DirectionRecv)
	}
	const turns = 3 // of the real server's event loop and worker
	for range turns {
		_, err := c.RestartTransport(bounded(c.t), c.mark)
		require.NoError(c.t, err)
	}
	all, _ := c.got.from(c.seen)
	c.seen += len(all)
	return all
}

// quiet demands that the client is told nothing.
func (c *mediasoupClient) quiet() {
	c.t.Helper()
	require.Empty(c.t, c.show(c.settle()))
}

// A mediasoupScene is two clients, one of which sends to the other.
type mediasoupScene struct {
	alice, bob *mediasoupClient
	over       uint32 // alice's transport
	producer   uint32
	consumer   uint32 // bob's, which is enabled
}

// scene sets it up in a room.
func (s *eitherMediasoup) scene(t *testing.T, room string) *mediasoupScene {
	t.Helper()
	x := &mediasoupScene{alice: s.join(t, room, "alice"), bob: s.join(t, room, "bob")}
	tells(x.alice, "newPeer", func(m *mediasoupproto.NewPeer) bool { return m.Name == "bob" })
	x.over = x.alice.opens(mediasoupproto.DirectionSend)
	x.producer = x.alice.produces(x.over, "0", nil)
	x.consumer = x.bob.hears("alice")
	x.bob.enables(x.consumer)
	return x
}
