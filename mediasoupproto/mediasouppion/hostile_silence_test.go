package mediasouppion

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

// Nobody gets media for ever who does not answer: it may be another one by now.
func TestAClientThatFallsSilentIsNotSentTo(t *testing.T) {
	t.Parallel()
	c, alice, bob, _ := video(t, profileGCM)
	s := videoSource(1)
	bob.sendRTCP(&rtcp.ReceiverReport{SSRC: 1})
	last := c.now
	for c.now.Sub(last) < consentTime {
		c.pass(time.Second)
		alice.send(s.next())
	}
	media, _ := bob.got()
	require.Len(t, media, int(consentTime/time.Second))

	c.pass(tickInterval)
	bob.sink.sent = nil // the last reports
	alice.send(s.next())
	c.pass(reportInterval)
	require.Empty(t, bob.sink.sent)
	state := bob.transport.state(c.now)
	require.Nil(t, state.ICESelectedTuple)

	// Media alone do not bring it back, since anybody could repeat them from anywhere; a check does.
	bob.sendRTCP(&rtcp.ReceiverReport{SSRC: 1})
	alice.send(s.next())
	require.Empty(t, bob.sink.sent)
	from := netip.MustParseAddrPort("192.0.2.1:1000")
	sock := &socket{conn: bob.sink, byAddr: make(map[netip.AddrPort]holder)}
	require.True(t, bob.transport.heard(bob.transport.current, sock, from, false, c.now))
	alice.send(s.next())
	require.Len(t, bob.sink.sent, 1)
	for range 100 { // and who reports goes on, without a check
		c.pass(time.Second)
		bob.sendRTCP(&rtcp.ReceiverReport{SSRC: 1})
	}
	bob.sink.sent = nil
	alice.send(s.next())
	require.Len(t, bob.sink.sent, 1)
}

// What nobody has proved is no sign of life.
func TestForgedPacketsAreNoSignOfLife(t *testing.T) {
	t.Parallel()
	c, _, bob, _ := video(t, profileGCM)
	bob.sendRTCP(&rtcp.ReceiverReport{SSRC: 1})
	last := bob.transport.lastSign
	require.Equal(t, c.now, last)
	c.now = c.now.Add(time.Second)
	bob.transport.packet(c.w, append([]byte{0x80, 201, 0, 1, 0, 0, 0, 1}, make([]byte, 40)...), c.now)
	bob.transport.packet(c.w, append([]byte{0x80, 96, 0, 1, 0, 0, 0, 1}, make([]byte, 40)...), c.now)
	bob.transport.packet(c.w, []byte{22, 254, 253, 0}, c.now)
	require.Equal(t, last, bob.transport.lastSign)
}

func TestOnlySoMuchOfAFingerprintIsKept(t *testing.T) {
	t.Parallel()
	c := newCore(t)
	alice := c.join(aliceID, profileGCM)
	d := alice.transport.dtls
	for _, n := range []int{1, maxFingerprint, 1 << 20} {
		f := mediasoupproto.Fingerprint{Algorithm: "sha-512", Value: strings.Repeat("A", n)}
		require.NoError(t, d.expect(&mediasoupproto.DTLSParameters{Fingerprints: []mediasoupproto.Fingerprint{f}}))
		require.Len(t, d.fingerprint.Value, min(n, maxFingerprint))
	}
	require.Greater(t, maxFingerprint, len(colonHex(make([]byte, 64))), "which then matches nothing")
}
