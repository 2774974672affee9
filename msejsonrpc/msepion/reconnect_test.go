package msepion_test

import (
	"errors"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/piontest"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/transport"
)

var quick = msejsonrpc.Backoff{Min: time.Millisecond, Max: time.Millisecond}

func TestClientThatReconnectsBeginsANewPeerConnection(t *testing.T) {
	t.Parallel()
	inForms(t, func(t *testing.T, server, client plan) {
		server.tracks = []webrtc.TrackLocal{piontest.Video(t, "s")}
		server.opts.Labels = []string{"x"}
		client.tracks = []webrtc.TrackLocal{piontest.Video(t, "c")}
		w, servers := newHost(t, server)
		r := &piontest.Redialer{Dial: func() transport.Conn { up, _ := w.dial(); return up }}
		conn, err := r.Redial(t.Context())
		require.NoError(t, err)
		c := newBot(t, client, w.signal(conn, "d/r/u", &msejsonrpc.ClientOptions{
			Form: client.form, Redial: r.Redial, Backoff: quick,
		}))
		c.run()
		added := piontest.Sound(t, "added")
		var pcs []*webrtc.PeerConnection
		for round := range 3 {
			s := heard.Next(t, "session", servers)
			c.flows.RequireMedia(t, "s")
			s.flows.RequireMedia(t, "c")
			if round == 0 {
				c.AddTrack(added)
			}
			s.flows.RequireMedia(t, "c", "added")
			s.awaitOpen("x")
			s.requireEcho("x", "hello")
			c.awaitConnected()

			before := c.PeerConnection()
			r.Cut()
			e, ok := errors.AsType[*transport.CloseError](heard.Next(t, "end of Run", s.ran))
			require.True(t, ok)
			require.Equal(t, transport.StatusAbnormal, e.Code)
			pcs = append(pcs, before)
		}
		c.awaitConnected()
		require.NotContains(t, pcs, c.PeerConnection())
		c.flows.RequireOnly(t, "s")
		c.flows.RequireMedia(t, "s")
		require.Empty(t, c.ran.All())
	})
}
