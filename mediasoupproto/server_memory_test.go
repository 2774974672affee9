package mediasoupproto

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// padded is what a client says with a megabyte of blanks.
func padded(text string) []byte {
	return []byte(strings.Replace(benchSays(text)[0], `"data":`, `"data":`+strings.Repeat(" ", 1_000_000), 1))
}

// aliased decodes a message whose parts are those of data, and returns what becomes nil when data
// is not in memory any more.
func aliased(t *testing.T, data []byte) (Message, weak.Pointer[byte]) {
	f, err := Protoo.Parse(transport.Text, data)
	require.NoError(t, err)
	m, err := decodeFrame(&f)
	require.NoError(t, err)
	return m, weak.Make(&data[0])
}

// A peer must not hold a megabyte with three bytes of data, which are what is counted.
func TestWhatIsKeptOfAMessageDoesNotKeepAllOfIt(t *testing.T) {
	t.Parallel()
	s := NewServer(nil)
	for _, text := range []string{
		`join#7 {"peerName":"x","rtpCapabilities":@caps,"appData":{"a":1},"more":[2]}`,
		`createProducer#7 {"id":1,"kind":"video","transportId":1,"rtpParameters":@vp8:1,"appData":{"a":1},"more":[2]}`,
	} {
		m, all := aliased(t, padded(text))
		runtime.GC()
		require.NotNil(t, all.Value(), "its parts hold it")
		want, err := Encode(m)
		require.NoError(t, err)
		m = s.compacted(m)
		runtime.GC()
		require.Nil(t, all.Value())
		got, err := Encode(m)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
		require.EqualValues(t, "7", m.head().RequestID)
	}
}

func TestMessagesThatAreRefusedAreNotCompacted(t *testing.T) {
	t.Parallel()
	s := NewServer(nil)
	for _, text := range []string{
		`join#7 {"peerName":"x"}`, `join#7 {"peerName":"x","rtpCapabilities":{"headerExtensions":[]}}`,
		`join#7 {"rtpCapabilities":@caps}`, `createProducer#7 {"id":1,"kind":"video"}`, `createTransport#7 {"id":1}`,
	} {
		m, err := Decode(padded(text))
		require.NoError(t, err)
		require.Same(t, m, s.compacted(m), text)
	}
}

// Members that nobody asked for are kept with those that are, and so they count.
func TestUnknownMembersCountAsWhatIsKept(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3000)
	r := newServerRig(t, ServerConfig{PeerBytes: 3000})
	r.connect(1, "ann")
	r.say(1, `join#1 {"peerName":"ann","rtpCapabilities":@nocaps,"more":"`+long+`"}`)
	require.Contains(t, r.take()[0], "request too big")
	r.say(1, `join#1 {"peerName":"ann","rtpCapabilities":@nocaps}`, `createTransport#2 {"id":1,"dtlsParameters":@dtls}`)
	r.forget().say(1, fmt.Sprintf(
		`createProducer#3 {"id":1,"kind":"audio","transportId":1,"rtpParameters":@opus:1,"more":%q}`, long,
	))
	require.Contains(t, r.take()[0], "request too big")
	r.end()
}

// Clients whose messages are long are served as all others are.
func TestLongMessagesArriveWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{AllowAll: true})
		g := visit(t, s)
		g.Say(string(padded(`join#1 {"peerName":"ann","rtpCapabilities":@caps,"appData":[1,2]}`)))
		g.hears(`{"data":{"peers":[]},"id":1,"ok":true}`)
		visit(t, s).says(`join#1 {"peerName":"ben","rtpCapabilities":@caps}`).
			hears(`{"data":{"peers":[{"appData":[1,2],"consumers":[],"name":"ann"}]},"id":1,"ok":true}`).Drain()
		g.Drain()
		closeServer(t, s)
	})
}
