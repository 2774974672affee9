package galenepion_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/piontest"
)

// A network loses all packets of a peer when a test says so.
type network struct {
	net.PacketConn
	lost atomic.Bool
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	return &network{PacketConn: conn}
}

func (n *network) WriteTo(b []byte, addr net.Addr) (int, error) {
	if n.lost.Load() {
		return len(b), nil
	}
	return n.PacketConn.WriteTo(b, addr)
}

func (n *network) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		read, addr, err := n.PacketConn.ReadFrom(b)
		if err != nil || !n.lost.Load() {
			return read, addr, err
		}
	}
}

// settings returns those of a peer that soon notices that packets are lost, or does not.
func (n *network) settings(t *testing.T, notices bool) *webrtc.SettingEngine {
	t.Helper()
	mux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: n})
	t.Cleanup(func() { _ = mux.Close(); _ = n.Close() })
	s := loopback.Settings()
	s.SetICEUDPMux(mux)
	if notices {
		s.SetICETimeouts(500*time.Millisecond, 500*time.Millisecond, 100*time.Millisecond)
	}
	return &s
}

func TestSenderWhosePathIsLostRestartsICE(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	w := newWorld(t, galene.ServerOptions{})
	a := w.join(plan{name: "a", settings: n.settings(t, true)})
	b := w.join(plan{name: "b", request: all})
	states := heard.New[webrtc.PeerConnectionState]()
	pub := a.publish(&galenepion.PublishOptions{
		OnState: func(s webrtc.PeerConnectionState) { states.Add(s) },
	}, piontest.Video(t, "v"))
	b.flows.RequireMedia(t, "v")
	a.line().Said.Forget()
	n.lost.Store(true)
	heard.Await(t, "failure", states, func(s webrtc.PeerConnectionState) bool { return s == webrtc.PeerConnectionStateFailed })
	n.lost.Store(false)
	heard.AwaitOf(t, a.line().Said, func(m *galene.Offer) bool { return m.ID == pub.ID() })
	b.flows.RequireMedia(t, "v")
	b.flows.RequireOnly(t, "v")
	require.NoError(t, pub.Err())
}

func TestReceiverWhosePathIsLostAsksForARestartOfICE(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	w := newWorld(t, galene.ServerOptions{})
	a := w.join(plan{name: "a"})
	b := w.join(plan{name: "b", request: all, settings: n.settings(t, true)})
	a.publish(nil, piontest.Video(t, "v"))
	s := b.requireStream()
	b.flows.RequireMedia(t, "v")
	n.lost.Store(true)
	heard.AwaitOf(t, b.line().Said, func(m *galene.Renegotiate) bool { return m.ID == s.ID })
	n.lost.Store(false)
	b.flows.RequireMedia(t, "v")
	b.flows.RequireOnly(t, "v")
	require.NoError(t, s.Err())
}

func TestPublicationWithoutAPathEnds(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	n.lost.Store(true)
	w := newWorld(t, galene.ServerOptions{})
	a := w.join(plan{
		name: "a", settings: n.settings(t, false),
		opts: galenepion.Options{ConnectTimeout: 100 * time.Millisecond},
	})
	b := w.join(plan{name: "b", request: all})
	pub, err := a.Publish(t.Context(), &galenepion.PublishOptions{ID: "mine"}, piontest.Video(t, "v"))
	if err == nil { // the answer was handled before the time was over
		<-pub.Done()
		err = pub.Err()
	}
	require.ErrorIs(t, err, galenepion.ErrConnectTimeout)
	heard.AwaitOf(t, a.line().Said, func(m *galene.Close) bool { return m.ID == "mine" })
	require.NoError(t, b.requireClosed(b.requireStream()))
}

func TestSubscriptionWithoutAPathIsAborted(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	n.lost.Store(true)
	w := newWorld(t, galene.ServerOptions{})
	a := w.join(plan{name: "a"})
	b := w.join(plan{
		name: "b", settings: n.settings(t, false), request: all,
		opts: galenepion.Options{ConnectTimeout: 100 * time.Millisecond},
	})
	track := piontest.Video(t, "v")
	piontest.Run(t, func(ctx context.Context) error { // the abort may come before the answer
		_, err := a.Publish(ctx, &galenepion.PublishOptions{ID: "mine"}, track)
		return err
	})
	require.ErrorIs(t, b.requireClosed(b.requireStream()), galenepion.ErrConnectTimeout)
	heard.AwaitOf(t, b.line().Said, func(m *galene.Abort) bool { return m.ID == "mine" })
}
