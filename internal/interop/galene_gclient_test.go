package interop

import (
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
	"github.com/rtcsignal/rtcsignal/internal/interop/peer"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
)

// startReachable starts our server with a router for programs that have no candidates of the
// loopback interface, and whose bots have others as well.
func startReachable(t *testing.T) (*galeneServer, *galenepion.Options) {
	t.Helper()
	settings := loopback.Settings()
	settings.SetIPFilter(func(net.IP) bool { return true })
	router := galenepion.NewRouter(&galenepion.RouterOptions{Settings: settings})
	t.Cleanup(func() { require.NoError(t, router.Close()) })
	return startOurGalene(t, galene.ServerOptions{Router: router}), &galenepion.Options{Settings: settings}
}

// gclient runs a program of the other Go client in a group.
func gclient(t *testing.T, what, variable string, s *galeneServer) *peer.Process {
	t.Helper()
	return peer.Start(t, exec.Command(peer.Path(t, what, variable), "-username", "bob", "-password", "bpw", s.group("test")))
}

func TestGaleneGclientSendsThroughOurServer(t *testing.T) {
	t.Parallel()
	s, opts := startReachable(t)
	alice := s.bot(t, "test", "alice", opts)
	require.NoError(t, alice.Request(everything))
	program := gclient(t, "gclient sender", "GALENE_GCLIENT_SEND", s)
	f := await[*galeneFlow](t, "sound", &alice.flows, nil)
	require.Equal(t, "bob", f.stream.Username)
	require.Equal(t, "camera", f.stream.Label)
	f.runs(t)

	offered := alice.publish("camera") // which the program aborts
	expect(alice.galeneClient, "arrival", func(u *galene.User) bool { return *u.Username == "bob" })
	f.runs(t)
	require.NoError(t, offered.Err())
	require.NoError(t, alice.Kick(f.stream.Source, "thank you"))
	require.NoError(t, alice.gone(f.stream))
	require.True(t, peer.Await(patience, program.Ended))
}

func TestGaleneGclientReceivesThroughOurServer(t *testing.T) {
	t.Parallel()
	s, opts := startReachable(t)
	alice := s.bot(t, "test", "alice", opts)
	program := gclient(t, "gclient receiver", "GALENE_GCLIENT_RECEIVE", s)
	pub := alice.publish("camera")
	require.True(t, peer.Await(patience, func() bool { return strings.Count(program.Output(), "Got RTP") > 50 }))
	require.Contains(t, program.Output(), "Got track with codec audio/opus")
	pub.Unpublish()
	alice.settle()
	require.False(t, program.Ended())
}
