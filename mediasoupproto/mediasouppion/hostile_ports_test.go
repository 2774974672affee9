package mediasouppion

import (
	"errors"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

// A client that asks for transports when there are no ports left, which takes a look at each,
// must not hold up the media of others.
func TestLookingForAPortHoldsUpNobody(t *testing.T) {
	t.Parallel()
	looking, found := make(chan struct{}), make(chan struct{})
	e, r, _ := newTestRoom(t, &EngineOptions{
		PortMin: 40_000, PortMax: 40_000,
		ListenPacket: func(string, string) (net.PacketConn, error) {
			looking <- struct{}{}
			<-found
			return nil, errors.New("in use")
		},
	})
	refused := make(chan error, 1)
	go func() {
		_, err := r.CreateTransport(mediaID(aliceID, 1), &mediasoupproto.CreateTransport{})
		refused <- err
	}()
	<-looking
	r.CloseTransport(mediaID(bobID, 1)) // does not wait, nor does the engine
	_, err := e.OpenRoom(t.Context(), "another", nil, newEvents())
	require.NoError(t, err)
	close(found)
	require.ErrorIs(t, <-refused, mediasoupproto.ErrNoPort)
}

// What cannot be used after all leaves no socket open.
func TestSocketsOfATransportThatIsRefusedAreClosed(t *testing.T) {
	t.Parallel()
	var opened []net.PacketConn
	_, r, _ := newTestRoom(t, &EngineOptions{
		PortMin: 40_000, PortMax: 40_000,
		ListenPacket: func(string, string) (net.PacketConn, error) {
			conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
			if err == nil {
				opened = append(opened, conn)
			}
			return conn, err
		},
	})
	_, err := r.CreateTransport(mediaID(aliceID, 1), &mediasoupproto.CreateTransport{
		DTLSParameters: &mediasoupproto.DTLSParameters{
			Fingerprints: []mediasoupproto.Fingerprint{{Algorithm: "sha-1", Value: "AB"}},
		},
	})
	require.ErrorIs(t, err, errFingerprint)
	r.Close()
	_, err = r.CreateTransport(mediaID(aliceID, 1), &mediasoupproto.CreateTransport{})
	require.ErrorIs(t, err, errRoomClosed)
	require.NoError(t, r.engine.Close())
	_, err = r.CreateTransport(mediaID(aliceID, 1), &mediasoupproto.CreateTransport{})
	require.ErrorIs(t, err, ErrEngineClosed)
	require.Len(t, opened, 3)
	for _, conn := range opened {
		_, err = conn.WriteTo(nil, conn.LocalAddr())
		require.ErrorIs(t, err, net.ErrClosed)
	}
}
