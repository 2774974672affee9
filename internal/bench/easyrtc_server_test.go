package bench

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/transport"
)

// An easyrtcWorld is a server in memory. Its connections are pipes, so that nothing but
// the server's own work is measured, besides one copy of each message.
type easyrtcWorld struct {
	tb  testing.TB
	srv *easyrtc.Server
}

func newEasyRTCWorld(tb testing.TB) *easyrtcWorld {
	srv := easyrtc.NewServer(&easyrtc.ServerOptions{
		AllowAll: true,
		Limits:   easyrtc.Limits{Messages: -1, Bytes: -1},
	})
	tb.Cleanup(func() { require.NoError(tb, srv.Close()) })
	return &easyrtcWorld{tb, srv}
}

// An easyrtcPeer is a client without any code of this module: it writes texts that were
// made before, and reads what comes.
type easyrtcPeer struct {
	tb    testing.TB
	conn  transport.Conn
	ended chan error
	id    string
	buf   []byte
}

// login makes a client in the default room.
func (w *easyrtcWorld) login() *easyrtcPeer {
	conn, served := transport.Pipe()
	p := &easyrtcPeer{tb: w.tb, conn: conn, ended: make(chan error, 1)}
	go func() { p.ended <- w.srv.Serve(context.Background(), served) }()
	p.write([]byte("0"))
	p.read("0{")
	p.write([]byte(`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1.1.1-beta",` +
		`"applicationName":"default","setUserCfg":{"userSettings":{"sharingAudio":false,"sharingData":true}}}}]`))
	token := p.read(`30[{"msgType":"token"`)
	const before = `"applicationName":"default"},"easyrtcid":"`
	if _, after, ok := bytes.Cut(token, []byte(before)); ok {
		id, _, _ := bytes.Cut(after, []byte(`"`))
		p.id = string(id)
	}
	return p
}

// logins makes n clients, which have all heard of each other.
func (w *easyrtcWorld) logins(n int) []*easyrtcPeer {
	peers := make([]*easyrtcPeer, n)
	for i := range peers {
		peers[i] = w.login()
		for _, p := range peers[:i] { // twice of each
			p.event()
			p.event()
		}
	}
	return peers
}

func (p *easyrtcPeer) write(text []byte) {
	if err := p.conn.Write(transport.Text, text); err != nil {
		p.tb.Fatal(err)
	}
}

// read returns the next text, which begins so, until the next call.
func (p *easyrtcPeer) read(beginning string) []byte {
	_, text, err := p.conn.Read(p.buf)
	if err != nil {
		p.tb.Fatal(err)
	}
	if p.buf = text; !strings.HasPrefix(string(text[:min(len(text), 64)]), beginning) {
		p.tb.Fatalf("%q does not begin with %q", text, beginning)
	}
	return text
}

// event reads an event and acknowledges it, as clients do. Who hears it has no business
// with its number, and so it is always the same one.
func (p *easyrtcPeer) event() []byte {
	text := p.read("2")
	p.write([]byte(`30[{"msgType":"ack"}]`))
	return text
}

// close ends the connection and waits until the server has taken notice.
func (p *easyrtcPeer) close() {
	_ = p.conn.Close(transport.StatusNormal, "")
	if err := <-p.ended; err != nil {
		p.tb.Fatal(err)
	}
}

// easyrtcSignals are messages of one client to another one, as browsers send them.
func easyrtcSignals(target string) []struct{ name, wire string } {
	to := `"targetEasyrtcid":"` + target + `","msgData":`
	return []struct{ name, wire string }{
		{"candidate", `21["easyrtcCmd",{"msgType":"candidate",` + to + `{"type":"candidate","label":0,"id":"0","candidate":` +
			`"candidate:2878742611 1 udp 2130706431 192.0.2.2 53634 typ host generation 0 ufrag kkdDKGzywyAFaUsN"}}]`},
		{"offer", `21["easyrtcCmd",{"msgType":"offer",` + to + `{"type":"offer","sdp":"v=0\r\n` +
			strings.Repeat(`a=rtpmap:96 VP8/90000\r\na=fmtp:96 profile-level-id=42e01f;packetization-mode=1\r\n`, 66) + `"}}]`},
		{"msg", `21["easyrtcMsg",{"msgType":"chat",` + to + `"` + strings.Repeat("well then ", 15) + `"}]`},
	}
}

// BenchmarkEasyRTCRelay measures a message from one client to another through a server in
// memory, with both acknowledgements.
func BenchmarkEasyRTCRelay(b *testing.B) {
	for i, tt := range easyrtcSignals("") {
		b.Run(fmt.Sprintf("message=%s/lib=rtcsignal", tt.name), func(b *testing.B) {
			peers := newEasyRTCWorld(b).logins(2)
			wire := []byte(easyrtcSignals(peers[1].id)[i].wire)
			b.ReportAllocs()
			b.SetBytes(int64(len(wire)))
			for b.Loop() {
				peers[0].write(wire)
				peers[1].event()
				peers[0].read(`31[{"msgType":"ack"}]`)
			}
		})
	}
}

// easyrtcAnnouncements are messages that all in a room hear of.
var easyrtcAnnouncements = []struct{ name, wire, answer string }{
	{"msg", `21["easyrtcMsg",{"msgType":"chat","targetRoom":"default","msgData":"` +
		strings.Repeat("well then ", 15) + `"}]`, `31[{"msgType":"ack"}]`},
	{"delta", `21["easyrtcCmd",{"msgType":"setPresence","msgData":{"setPresence":{"show":"away","status":"at lunch"}}}]`,
		`31[{"msgType":"roomData"`},
}

// BenchmarkEasyRTCRoom measures a message to a room of a hundred clients and a change of a
// client's presence, of which they are told, in memory.
func BenchmarkEasyRTCRoom(b *testing.B) {
	const members = 100
	for _, tt := range easyrtcAnnouncements {
		b.Run(fmt.Sprintf("message=%s/lib=rtcsignal", tt.name), func(b *testing.B) {
			peers := newEasyRTCWorld(b).logins(members)
			b.ReportAllocs()
			for b.Loop() {
				announce(peers, tt.wire, tt.answer)
			}
			b.ReportMetric(float64(b.N*(members-1))/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}

// announce has the first of the peers say something, and waits until all have heard it.
func announce(peers []*easyrtcPeer, wire, answer string) {
	peers[0].write([]byte(wire))
	for _, p := range peers[1:] {
		p.event()
	}
	peers[0].read(answer)
}

// BenchmarkEasyRTCLogin measures a connection from its beginning to its end, with a login
// into a room in which others are, who are told of it.
func BenchmarkEasyRTCLogin(b *testing.B) {
	for _, others := range []int{0, 9} {
		b.Run(fmt.Sprintf("others=%d/lib=rtcsignal", others), func(b *testing.B) {
			w := newEasyRTCWorld(b)
			peers := w.logins(others)
			b.ReportAllocs()
			for b.Loop() {
				p := w.login()
				for range 2 { // it comes, and once more
					for _, other := range peers {
						other.event()
					}
				}
				p.close()
				for _, other := range peers {
					other.event()
				}
			}
		})
	}
}

func TestEasyRTCServerInMemoryHandsOnWhatIsMeasured(t *testing.T) {
	t.Parallel()
	peers := newEasyRTCWorld(t).logins(3)
	for _, tt := range easyrtcSignals(peers[1].id) {
		peers[0].write([]byte(tt.wire))
		m, err := easyrtc.Decode(peers[1].event())
		require.NoError(t, err)
		sent, err := easyrtc.Decode([]byte(tt.wire))
		require.NoError(t, err)
		switch m := m.(type) {
		case *easyrtc.Candidate:
			require.Equal(t, peers[0].id, m.SenderEasyrtcID)
			require.Equal(t, sent.(*easyrtc.Candidate).MsgData, m.MsgData)
		case *easyrtc.Offer:
			require.Equal(t, peers[0].id, m.SenderEasyrtcID)
			require.Equal(t, sent.(*easyrtc.Offer).MsgData, m.MsgData)
		case *easyrtc.Msg:
			require.Equal(t, peers[0].id, m.SenderEasyrtcID)
			require.Equal(t, sent.(*easyrtc.Msg).MsgData, m.MsgData)
		default:
			require.Fail(t, "something else", "%T for %s", m, tt.name)
		}
		peers[0].read(`31[{"msgType":"ack"}]`)
	}
	for _, tt := range easyrtcAnnouncements {
		peers[0].write([]byte(tt.wire))
		for _, p := range peers[1:] {
			heard, want := string(p.event()), "well then "
			if tt.name == "delta" {
				want = `"updateClient":{"` + peers[0].id + `":`
			}
			require.Contains(t, heard, want)
		}
		peers[0].read(tt.answer)
	}
}

func TestEasyRTCServerInMemoryTellsOfALogin(t *testing.T) {
	t.Parallel()
	w := newEasyRTCWorld(t)
	peers := w.logins(2)
	p := w.login()
	for range 2 {
		for _, other := range peers {
			require.Contains(t, string(other.event()), `"updateClient":{"`+p.id+`":`)
		}
	}
	p.close()
	for _, other := range peers {
		require.Contains(t, string(other.event()), `"removeClient":{"`+p.id+`":`)
	}
}
