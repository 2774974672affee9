package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
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
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// galeneServers are servers with a group called test that everybody may join, each in a
// process of its own.
var galeneServers = []struct {
	name  string
	start func(tb testing.TB) (url string)
}{{"rtcsignal", startOurGalene}, {"galene", startGalene}}

// galeneStart is how long a server may take until it listens.
const galeneStart = 10 * time.Second

// galeneServe tells the test binary to be a server.
const galeneServe = "RTCSIGNAL_BENCH_GALENE_SERVE"

// startOurGalene starts this program as a server.
func startOurGalene(tb testing.TB) string {
	self, err := os.Executable()
	require.NoError(tb, err)
	cmd := exec.Command(self, "-test.run=^TestGaleneServerForwardsChat$")
	cmd.Env = append(os.Environ(), galeneServe+"=1")
	stdin, err := cmd.StdinPipe()
	require.NoError(tb, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(tb, err)
	require.NoError(tb, cmd.Start())
	tb.Cleanup(func() {
		require.NoError(tb, stdin.Close())
		_, _ = io.Copy(io.Discard, stdout)
		require.NoError(tb, cmd.Wait())
	})
	lines := bufio.NewScanner(stdout)
	require.True(tb, lines.Scan(), "the server says nothing")
	return lines.Text()
}

// serveOurGalene serves until the standard input ends, and says where.
func serveOurGalene(t *testing.T) {
	srv := galene.NewServer(&galene.ServerOptions{
		Groups: galene.Groups{"test": {Wildcard: &galene.MemoryUser{AnyPassword: true, Set: "present"}}},
		Limits: galene.Limits{Messages: -1, Bytes: -1},
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	web := &http.Server{Handler: wsconn.Handler(srv.Serve, nil)}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = srv.Close()
		_ = web.Close()
	}()
	fmt.Printf("ws://%s/ws\n", listener.Addr())
	require.ErrorIs(t, web.Serve(listener), http.ErrServerClosed)
}

// startGalene starts the real server, whose program GALENE_BIN names.
func startGalene(tb testing.TB) string {
	bin := os.Getenv("GALENE_BIN")
	if bin == "" {
		tb.Skip("no Galène server: GALENE_BIN is not set")
	}
	bin, err := filepath.Abs(bin)
	require.NoError(tb, err)
	dir := tb.TempDir()
	for _, d := range []string{"groups", "data", "static", "recordings"} {
		require.NoError(tb, os.Mkdir(filepath.Join(dir, d), 0o700))
	}
	group := `{"wildcard-user":{"password":{"type":"wildcard"},"permissions":"present"}}`
	require.NoError(tb, os.WriteFile(filepath.Join(dir, "groups", "test.json"), []byte(group), 0o600))
	listener, err := net.Listen("tcp", "127.0.0.1:0") // for a port that is free
	require.NoError(tb, err)
	address := listener.Addr().String()
	require.NoError(tb, listener.Close())

	cmd := exec.Command(bin, "-insecure", "-http", address, "-turn", "")
	cmd.Dir = dir
	require.NoError(tb, cmd.Start())
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	ctx, cancel := context.WithTimeout(context.Background(), galeneStart)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			require.NoError(tb, conn.Close())
			return "ws://" + address + "/ws"
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			require.Fail(tb, "Galène does not listen", "%v", err)
		}
	}
}

// A galeneMember is a member of the group: a bare WebSocket, which costs the same in front
// of both servers.
type galeneMember struct {
	ws  *websocket.Conn
	buf []byte
}

// read returns the next message, which the next call overwrites.
func (m *galeneMember) read() ([]byte, error) {
	_, r, err := m.ws.NextReader()
	if err != nil {
		return nil, err
	}
	for m.buf = m.buf[:0]; ; {
		if len(m.buf) == cap(m.buf) {
			m.buf = append(m.buf, 0)[:len(m.buf)]
		}
		n, err := r.Read(m.buf[len(m.buf):cap(m.buf)])
		m.buf = m.buf[:len(m.buf)+n]
		if errors.Is(err, io.EOF) {
			return m.buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// until reads up to a message that begins so.
func (m *galeneMember) until(beginning string) ([]byte, error) {
	for {
		msg, err := m.read()
		if err != nil || bytes.HasPrefix(msg, []byte(beginning)) {
			return msg, err
		}
	}
}

// joinGalene makes n members, all of them joined.
func joinGalene(tb testing.TB, url string, n int) []*galeneMember {
	members := make([]*galeneMember, n)
	for i := range members {
		ws, _, err := websocket.DefaultDialer.Dial(url, nil)
		require.NoError(tb, err)
		m := &galeneMember{ws: ws}
		members[i] = m
		tb.Cleanup(func() { _ = ws.Close() })
		for _, text := range []string{
			fmt.Sprintf(`{"type":"handshake","version":["2"],"id":"id-%d"}`, i),
			fmt.Sprintf(`{"type":"join","kind":"join","group":"test","username":"user-%d","password":""}`, i),
		} {
			require.NoError(tb, ws.WriteMessage(websocket.TextMessage, []byte(text)))
		}
		joined, err := m.until(`{"type":"joined"`)
		require.NoError(tb, err)
		require.Contains(tb, string(joined), `"kind":"join"`)
	}
	return members
}

// galeneSaid is a chat message of the first member, as the web client sends it.
func galeneSaid(dest string, size int) []byte {
	return fmt.Appendf(nil, `{"type":"chat","source":"id-0",%s"username":"user-0","value":"%s"}`,
		dest, strings.Repeat("well then ", size)[:size])
}

// BenchmarkGaleneServer measures chat through a server, from one loopback socket to
// others: to one member, and to all of a hundred.
func BenchmarkGaleneServer(b *testing.B) {
	for _, tt := range []struct {
		name             string
		dest             string
		members, receive int
	}{{"directed", `"dest":"id-1",`, 2, 1}, {"broadcast", "", 100, 100}} {
		for _, size := range []int{200, 5900} {
			for _, s := range galeneServers {
				b.Run(fmt.Sprintf("chat=%s/bytes=%d/lib=%s", tt.name, size, s.name), func(b *testing.B) {
					members := joinGalene(b, s.start(b), tt.members)
					forward(b, members, galeneSaid(tt.dest, size), tt.receive)
				})
			}
		}
	}
}

// forward sends a message again and again, each one when another has reached all of its
// receivers.
func forward(b *testing.B, members []*galeneMember, text []byte, receivers int) {
	const window = 16
	done := make(chan struct{}, window) // a token for so many messages as there are receivers
	lost := make(chan error, len(members))
	var arrived atomic.Int64
	var readers sync.WaitGroup
	for _, m := range members {
		readers.Go(func() {
			for {
				if _, err := m.until(`{"type":"chat"`); err != nil {
					lost <- err
					return
				}
				if arrived.Add(1)%int64(receivers) == 0 {
					done <- struct{}{}
				}
			}
		})
	}
	say := func() {
		if err := members[0].ws.WriteMessage(websocket.TextMessage, text); err != nil {
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
	b.ReportMetric(float64(b.N*receivers)/b.Elapsed().Seconds(), "deliveries/s")
	for _, m := range members {
		_ = m.ws.Close()
	}
	readers.Wait()
}

func TestGaleneServerForwardsChat(t *testing.T) {
	if os.Getenv(galeneServe) != "" {
		serveOurGalene(t)
		return
	}
	t.Parallel()
	for _, s := range galeneServers {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			members := joinGalene(t, s.start(t), 3)
			for _, dest := range []string{"", `"dest":"id-1",`} {
				require.NoError(t, members[0].ws.WriteMessage(websocket.TextMessage, galeneSaid(dest, 200)))
			}
			for range 2 {
				chat, err := members[1].until(`{"type":"chat"`)
				require.NoError(t, err)
				require.Contains(t, string(chat), strings.Repeat("well then ", 20))
				require.Contains(t, string(chat), `"source":"id-0"`)
			}
			for _, m := range []*galeneMember{members[0], members[2]} {
				chat, err := m.until(`{"type":"chat"`)
				require.NoError(t, err)
				require.NotContains(t, string(chat), `"dest"`)
			}
		})
	}
}
