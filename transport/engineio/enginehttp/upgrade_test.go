package enginehttp_test

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// upgraded sends messages to and fro until both ends use WebSocket.
func upgraded(t *testing.T, server, client *enginehttp.Conn) {
	t.Helper()
	for server.Transport() != enginehttp.WebSocket || client.Transport() != enginehttp.WebSocket {
		for _, c := range [][2]*enginehttp.Conn{{server, client}, {client, server}} {
			require.NoError(t, c[0].Write(transport.Text, []byte("still polling")))
			requireRead(t, c[1], transport.Text, "still polling")
		}
	}
}

// probe opens a WebSocket for the session, as a client that upgrades does.
func (p *session) probe(t *testing.T) transport.Conn {
	t.Helper()
	ws, err := wsconn.Dial(t.Context(), p.URL+"/?"+strings.Replace(p.query, "polling", "websocket", 1), nil)
	require.NoError(t, err)
	t.Cleanup(func() { ws.Close(transport.StatusAbnormal, "") })
	return ws
}

func send(t *testing.T, c transport.Conn, packet string) {
	t.Helper()
	require.NoError(t, c.Write(transport.Text, []byte(packet)))
}

func TestTheUpgradeOfAClientByHand(t *testing.T) {
	t.Parallel()
	versions(t, func(t *testing.T, v engineio.Version) {
		p := serve(t, nil).session(t, v)
		pending := p.await(t)
		ws := p.probe(t)
		send(t, ws, "2probe")
		requireRead(t, ws, transport.Text, "3probe")
		noop := engineio.AppendPayload(nil, v, engineio.Packet{Type: engineio.Noop})
		require.Equal(t, string(noop), (<-pending).body, "the pending poll is released")
		require.Equal(t, string(noop), p.poll(t), "and so is one that comes late")
		require.Equal(t, enginehttp.Polling, p.conn.Transport())

		// Until the client says so, messages go the old way.
		p.post(t, string(engineio.AppendPayload(nil, v, engineio.Packet{Type: engineio.Message, Data: []byte("posted")})))
		require.NoError(t, p.conn.Write(transport.Text, []byte("queued")))
		require.NoError(t, p.conn.Write(transport.Binary, []byte{7}))
		require.NoError(t, p.conn.Write(transport.Binary, []byte{8}))
		require.NoError(t, p.conn.Write(transport.Text, []byte("queued too")))
		send(t, ws, "5")
		send(t, ws, "4sent")
		requireRead(t, p.conn, transport.Text, "posted")
		requireRead(t, p.conn, transport.Text, "sent")
		require.Equal(t, enginehttp.WebSocket, p.conn.Transport())
		prefix := map[engineio.Version]string{engineio.V3: "\x04"}[v]
		requireRead(t, ws, transport.Text, "4queued")
		requireRead(t, ws, transport.Binary, prefix+"\x07")
		requireRead(t, ws, transport.Binary, prefix+"\x08")
		requireRead(t, ws, transport.Text, "4queued too")
		require.NoError(t, p.conn.Write(transport.Text, []byte("straight")))
		requireRead(t, ws, transport.Text, "4straight")

		// Nothing of the polling is left.
		p.active.Wait()
		a := p.get(t)
		require.Equal(t, `{"code":3,"message":"Bad request"}`, a.body)
		a = p.postAnswer(t, "4x")
		require.Equal(t, `{"code":3,"message":"Bad request"}`, a.body)
		closed := make(chan error, 1)
		go func() { closed <- p.conn.Close(transport.StatusGoingAway, "bye") }()
		_, _, err := ws.Read(nil)
		require.Equal(t, &transport.CloseError{Code: transport.StatusGoingAway, Reason: "bye"}, err)
		require.NoError(t, <-closed)
		p.requireGone(t)
	})
}

func TestAFailedProbeLeavesPollingAlone(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(t *testing.T, ws transport.Conn){
		"other first packet":  func(t *testing.T, ws transport.Conn) { send(t, ws, "2") },
		"end without a probe": func(t *testing.T, ws transport.Conn) { send(t, ws, "5") },
		"binary probe": func(t *testing.T, ws transport.Conn) {
			require.NoError(t, ws.Write(transport.Binary, []byte("2probe")))
		},
		"other second packet": func(t *testing.T, ws transport.Conn) {
			send(t, ws, "2probe")
			requireRead(t, ws, transport.Text, "3probe")
			send(t, ws, "4early")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := serve(t, nil).session(t, engineio.V4)
			ws := p.probe(t)
			fail(t, ws)
			_, _, err := ws.Read(nil)
			require.Equal(t, &transport.CloseError{Code: transport.StatusNoStatus}, err)
			requirePolling(t, p)
		})
	}
}

func TestAProbeThatIsNotFinishedInTimeIsCut(t *testing.T) {
	t.Parallel()
	p := serve(t, &enginehttp.Options{UpgradeTimeout: brief}).session(t, engineio.V4)
	ws := p.probe(t)
	send(t, ws, "2probe")
	requireRead(t, ws, transport.Text, "3probe")
	_, _, err := ws.Read(nil)
	require.Equal(t, &transport.CloseError{Code: transport.StatusAbnormal}, err)
	requirePolling(t, p)
}

// requirePolling checks that the session polls on, and may try again.
func requirePolling(t *testing.T, p *session) {
	t.Helper()
	p.post(t, "4posted")
	requireRead(t, p.conn, transport.Text, "posted")
	require.NoError(t, p.conn.Write(transport.Text, []byte("polled")))
	body := p.poll(t)
	require.Equal(t, "4polled", body)
	require.Equal(t, enginehttp.Polling, p.conn.Transport())
	for {
		// The end of the failed probe may not have been noted yet.
		a, err := p.request(t.Context(), http.MethodGet, strings.Replace(p.query, "polling", "websocket", 1), "",
			webSocket[:4]...)
		require.NoError(t, err)
		if a.body != "Bad request" {
			require.Equal(t, http.StatusBadRequest, a.status, "no key")
			break
		}
	}
	ws := p.probe(t)
	send(t, ws, "2probe")
	requireRead(t, ws, transport.Text, "3probe")
	send(t, ws, "5")
	send(t, ws, "4sent")
	requireRead(t, p.conn, transport.Text, "sent")
}

func TestASecondProbeIsRefused(t *testing.T) {
	t.Parallel()
	p := serve(t, nil).session(t, engineio.V4)
	ws := p.probe(t)
	query := strings.Replace(p.query, "polling", "websocket", 1)
	a, err := p.request(t.Context(), http.MethodGet, query, "", webSocket...)
	require.NoError(t, err)
	require.Equal(t, answer{http.StatusBadRequest, "text/html", "Bad request", a.header}, a)
	send(t, ws, "2probe")
	requireRead(t, ws, transport.Text, "3probe")
	send(t, ws, "5")
	send(t, ws, "4sent")
	requireRead(t, p.conn, transport.Text, "sent")
	a, err = p.request(t.Context(), http.MethodGet, query, "", webSocket...)
	require.NoError(t, err)
	require.Equal(t, answer{http.StatusBadRequest, "text/html", "Bad request", a.header}, a)
}

func TestTheEndOfTheSessionEndsItsProbe(t *testing.T) {
	t.Parallel()
	p := serve(t, nil).session(t, engineio.V4)
	ws := p.probe(t)
	send(t, ws, "2probe")
	requireRead(t, ws, transport.Text, "3probe")
	p.post(t, "1")
	requireLost(t, p.conn)
	_, _, err := ws.Read(nil)
	require.Equal(t, &transport.CloseError{Code: transport.StatusAbnormal}, err)
}

func TestMessagesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	for name, transports := range map[string][]string{
		"WebSocket": onlyWebSocket, "Polling": onlyPolling, "Upgrade": upgrading,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			versions(t, func(t *testing.T, v engineio.Version) {
				server, client := serve(t, nil).dial(t, &enginehttp.Options{Transports: transports, Version: v})
				var wg sync.WaitGroup
				for _, c := range []*enginehttp.Conn{server, client} {
					wg.Go(func() {
						if err := writeNumbers(c); err != nil {
							t.Error("write:", err)
						}
					})
					wg.Go(func() {
						if err := readNumbers(c); err != nil {
							t.Error("read:", err)
						}
					})
				}
				wg.Wait()
				if len(transports) == 2 {
					upgraded(t, server, client)
				} else {
					require.Equal(t, transports[0], server.Transport())
					require.Equal(t, transports[0], client.Transport())
				}
			})
		})
	}
}

// numbers is how many messages go each way, some in batches.
const numbers = 1000

// number returns a message: text beyond ASCII and binary take turns.
func number(i int) (transport.MessageType, []byte) {
	if i%10 < 8 {
		return transport.Text, fmt.Appendf(nil, "é☕😀 %d", i)
	}
	return transport.Binary, binary.BigEndian.AppendUint64(nil, uint64(i))
}

func writeNumbers(c *enginehttp.Conn) error {
	for i := 0; i < numbers; i++ {
		typ, msg := number(i)
		if i%10 != 0 {
			if err := c.Write(typ, msg); err != nil {
				return err
			}
			continue
		}
		_, second := number(i + 1)
		if err := c.WriteBatch(typ, [][]byte{msg, second}); err != nil {
			return err
		}
		i++
	}
	return nil
}

func readNumbers(c *enginehttp.Conn) error {
	var buf []byte
	for i := range numbers {
		wantTyp, want := number(i)
		typ, msg, err := c.Read(buf)
		if err != nil {
			return err
		}
		if typ != wantTyp || string(msg) != string(want) {
			return fmt.Errorf("message %d is %v %q", i, typ, msg)
		}
		buf = msg
	}
	return nil
}
