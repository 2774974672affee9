package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
)

// easyrtcServers are servers that let everybody in, each in a process of its own.
var easyrtcServers = []struct {
	name  string
	start func(tb testing.TB) (url string)
}{{"rtcsignal", startOurEasyRTC}, {"node", startEasyRTC}}

// easyrtcServe tells the test binary to be a server.
const easyrtcServe = "RTCSIGNAL_BENCH_EASYRTC_SERVE"

// startOurEasyRTC starts this program as a server.
func startOurEasyRTC(tb testing.TB) string {
	self, err := os.Executable()
	require.NoError(tb, err)
	cmd := exec.Command(self, "-test.run=^TestEasyRTCServerForwards$")
	cmd.Env = append(os.Environ(), easyrtcServe+"=1")
	return startEasyRTCProcess(tb, cmd)
}

// startEasyRTC starts the real server by the program that EASYRTC_SERVER names: that of
// package interop, testdata/easyrtc/server.js, or one that says as much.
func startEasyRTC(tb testing.TB) string {
	program := os.Getenv("EASYRTC_SERVER")
	if program == "" {
		tb.Skip("no EasyRTC server: EASYRTC_SERVER is not set")
	}
	program, err := filepath.Abs(program)
	require.NoError(tb, err)
	return startEasyRTCProcess(tb, exec.Command("node", program, "--io", `{"transports":["websocket"]}`))
}

// startEasyRTCProcess starts a server that writes a JSON object with its port first, and
// ends with its standard input.
func startEasyRTCProcess(tb testing.TB, cmd *exec.Cmd) (url string) {
	stdin, err := cmd.StdinPipe()
	require.NoError(tb, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(tb, err)
	require.NoError(tb, cmd.Start())
	lines := bufio.NewReader(stdout)
	first, err := lines.ReadBytes('\n')
	var rest sync.WaitGroup
	rest.Go(func() { _, _ = io.Copy(io.Discard, lines) })
	tb.Cleanup(func() {
		require.NoError(tb, stdin.Close())
		rest.Wait()
		require.NoError(tb, cmd.Wait())
	})
	require.NoError(tb, err, "the server says nothing")
	var told struct {
		Port int `json:"port"`
	}
	require.NoError(tb, json.Unmarshal(first, &told), "%s", first)
	return fmt.Sprintf("ws://127.0.0.1:%d/socket.io/?EIO=4&transport=websocket", told.Port)
}

// serveOurEasyRTC serves until the standard input ends, and says where.
func serveOurEasyRTC(t *testing.T) {
	srv := easyrtc.NewServer(&easyrtc.ServerOptions{
		AllowAll: true,
		Limits:   easyrtc.Limits{Messages: -1, Bytes: -1},
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	web := &http.Server{Handler: enginehttp.Handler(srv.Serve, nil)}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = srv.Close()
		_ = web.Close()
	}()
	fmt.Printf(`{"port":%d}`+"\n", listener.Addr().(*net.TCPAddr).Port)
	require.ErrorIs(t, web.Serve(listener), http.ErrServerClosed)
}

// An easyrtcMember is a client in the default room: a bare WebSocket, which costs the same
// in front of both servers.
type easyrtcMember struct {
	galeneMember
	writing sync.Mutex // of what it has to say, and of acknowledgements and heartbeats
	id      string
}

func (m *easyrtcMember) write(text []byte) error {
	m.writing.Lock()
	defer m.writing.Unlock()
	return m.ws.WriteMessage(websocket.TextMessage, text)
}

// next returns the next event or acknowledgement. It acknowledges the event, as clients
// do.
func (m *easyrtcMember) next() ([]byte, error) {
	for {
		text, err := m.read()
		if err != nil {
			return nil, err
		}
		switch {
		case string(text) == "2":
			err = m.write([]byte("3"))
		case bytes.HasPrefix(text, []byte("42")):
			number, _, _ := bytes.Cut(text[2:], []byte("["))
			return text, m.write(fmt.Appendf(nil, `43%s[{"msgType":"ack"}]`, number))
		default:
			return text, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// signal returns the next event of another client.
func (m *easyrtcMember) signal() ([]byte, error) {
	for {
		text, err := m.next()
		if err != nil || bytes.Contains(text[:min(len(text), 100)], []byte("senderEasyrtcid")) {
			return text, err
		}
	}
}

// joinEasyRTC makes n clients, all of them logged in.
func joinEasyRTC(tb testing.TB, url string, n int) []*easyrtcMember {
	members := make([]*easyrtcMember, n)
	for i := range members {
		ws, _, err := websocket.DefaultDialer.Dial(url, nil)
		require.NoError(tb, err)
		m := &easyrtcMember{galeneMember: galeneMember{ws: ws}}
		members[i] = m
		tb.Cleanup(func() { _ = ws.Close() })
		require.NoError(tb, m.write([]byte("40")))
		_, err = m.until("40")
		require.NoError(tb, err)
		login := `420["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1.1.1-beta"}}]`
		require.NoError(tb, m.write([]byte(login)))
		token, err := m.until("430")
		require.NoError(tb, err)
		parsed, err := easyrtc.Decode(token[1:])
		require.NoError(tb, err)
		require.IsType(tb, new(easyrtc.Token), parsed)
		m.id = parsed.(*easyrtc.Token).MsgData.EasyrtcID
	}
	return members
}

// BenchmarkEasyRTCServer measures signals from one loopback socket to another one, and a
// message to a room of a hundred, through a server.
func BenchmarkEasyRTCServer(b *testing.B) {
	for i, tt := range easyrtcSignals("") {
		for _, s := range easyrtcServers {
			b.Run(fmt.Sprintf("message=%s/lib=%s", tt.name, s.name), func(b *testing.B) {
				members := joinEasyRTC(b, s.start(b), 2)
				forwardEasyRTC(b, members, easyrtcSignals(members[1].id)[i].wire)
			})
		}
	}
	for _, s := range easyrtcServers {
		b.Run("message=room/lib="+s.name, func(b *testing.B) {
			forwardEasyRTC(b, joinEasyRTC(b, s.start(b), 100), easyrtcAnnouncements[0].wire)
		})
	}
}

// forwardEasyRTC has the first member send a packet again and again, each one when another
// has reached all of the others.
func forwardEasyRTC(b *testing.B, members []*easyrtcMember, packet string) {
	const window = 16
	receivers := int64(len(members) - 1)
	done := make(chan struct{}, window) // a token for so many messages as there are receivers
	lost := make(chan error, len(members))
	var arrived atomic.Int64
	var readers sync.WaitGroup
	for _, m := range members[1:] {
		readers.Go(func() {
			for {
				if _, err := m.signal(); err != nil {
					lost <- err
					return
				}
				if arrived.Add(1)%receivers == 0 {
					done <- struct{}{}
				}
			}
		})
	}
	readers.Go(func() { // the sender's own acknowledgements
		for {
			if _, err := members[0].next(); err != nil {
				lost <- err
				return
			}
		}
	})
	text := []byte("4" + packet)
	say := func() {
		if err := members[0].write(text); err != nil {
			b.Fatal(err)
		}
	}
	hear := func() {
		select {
		case <-done:
		case err := <-lost:
			b.Fatal(err)
		}
	}
	for range window {
		say()
	}
	for b.Loop() {
		hear()
		say()
	}
	for range window {
		hear()
	}
	b.ReportMetric(float64(b.N)*float64(receivers)/b.Elapsed().Seconds(), "deliveries/s")
	for _, m := range members {
		_ = m.ws.Close()
	}
	readers.Wait()
}

func TestEasyRTCServerForwards(t *testing.T) {
	if os.Getenv(easyrtcServe) != "" {
		serveOurEasyRTC(t)
		return
	}
	t.Parallel()
	for _, s := range easyrtcServers {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			members := joinEasyRTC(t, s.start(t), 3)
			for _, tt := range easyrtcSignals(members[1].id) {
				require.NoError(t, members[0].write([]byte("4"+tt.wire)))
				signal, err := members[1].signal()
				require.NoError(t, err)
				require.Contains(t, string(signal), `"senderEasyrtcid":"`+members[0].id+`"`)
				require.Contains(t, string(signal), `"msgType":"`+strings.Replace(tt.name, "msg", "chat", 1)+`"`)
			}
			require.NoError(t, members[0].write([]byte("4"+easyrtcAnnouncements[0].wire)))
			for _, m := range members[1:] {
				signal, err := m.signal()
				require.NoError(t, err)
				require.Contains(t, string(signal), `"targetRoom":"default"`)
				require.Contains(t, string(signal), strings.Repeat("well then ", 15))
			}
			answer, err := members[0].next()
			for err == nil && !bytes.HasPrefix(answer, []byte("431")) {
				answer, err = members[0].next()
			}
			require.NoError(t, err)
			require.Contains(t, string(answer), `[{"msgType":"ack"}]`)
		})
	}
}
