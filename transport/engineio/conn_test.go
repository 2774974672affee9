package engineio_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/conntest"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
)

// open returns both ends of a connection in memory that has had its handshake.
func open(t *testing.T, opts *engineio.Options) (server, client *engineio.Conn) {
	t.Helper()
	a, b := transport.Pipe()
	client = engineio.Client(b, opts)
	made := make(chan *engineio.Conn)
	go func() {
		c, err := engineio.Server(a, opts)
		if err == nil {
			err = c.Write(transport.Text, []byte("hello"))
		}
		if err != nil {
			c = nil
		}
		made <- c
	}()
	typ, msg, err := client.Read(nil)
	require.NoError(t, err)
	require.Equal(t, transport.Text, typ)
	require.Equal(t, "hello", string(msg))
	server = <-made
	require.NotNil(t, server)
	return server, client
}

func TestConn(t *testing.T) {
	t.Parallel()
	for _, v := range []engineio.Version{engineio.V3, engineio.V4} {
		opts := &engineio.Options{Version: v}
		for name, pair := range map[string]func(t *testing.T) (a, b transport.Conn){
			"FromServer": func(t *testing.T) (a, b transport.Conn) { return open(t, opts) },
			"FromClient": func(t *testing.T) (a, b transport.Conn) { b, a = open(t, opts); return a, b },
		} {
			t.Run("EIO"+v.String()+name, func(t *testing.T) {
				t.Parallel()
				conntest.Run(t, pair, &conntest.Options{NoUnreadMessages: true})
			})
		}
	}
}

func TestServerSendsTheHandshakeAtOnce(t *testing.T) {
	t.Parallel()
	for _, v := range []engineio.Version{engineio.V3, engineio.V4} {
		c, peer, first := rawServer(t, &engineio.Options{Version: v, SID: "some-id", MaxPayload: 1234})
		require.Equal(t, `0{"sid":"some-id","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1234}`, first)
		require.Equal(t, "some-id", c.SID())
		require.Equal(t, v, c.EngineIO())
		require.NoError(t, c.Close(transport.StatusNormal, ""))
		_, _, err := peer.Read(nil)
		require.Equal(t, &transport.CloseError{Code: transport.StatusNormal}, err)
	}
}

func TestServerWithoutAPeerFails(t *testing.T) {
	t.Parallel()
	a, b := transport.Pipe()
	require.NoError(t, b.Close(transport.StatusGoingAway, ""))
	_, err := engineio.Server(a, nil)
	require.Equal(t, &transport.CloseError{Code: transport.StatusGoingAway}, errors.Unwrap(err))
}

func TestClientLearnsItsSessionIDByReading(t *testing.T) {
	t.Parallel()
	c, peer := rawClient(t, engineio.V4)
	require.Equal(t, "some-id", c.SID())
	require.NoError(t, c.Close(transport.StatusNormal, ""))
	_, _, err := peer.Read(nil)
	require.Error(t, err)
}

func TestClientNeedNotWaitForTheHandshakeToWrite(t *testing.T) {
	t.Parallel()
	a, b := transport.Pipe()
	c := engineio.Client(b, nil)
	require.Empty(t, c.SID())
	written := make(chan error, 1)
	go func() { written <- c.Write(transport.Text, []byte("0")) }()
	_, frame, err := a.Read(nil)
	require.NoError(t, err)
	require.Equal(t, "40", string(frame))
	require.NoError(t, <-written)
	require.NoError(t, c.Close(transport.StatusNormal, ""))
}

// rawServer returns a Server with its peer beneath, and the first packet.
func rawServer(t *testing.T, opts *engineio.Options) (c *engineio.Conn, peer transport.Conn, first string) {
	t.Helper()
	a, b := transport.Pipe()
	made := make(chan error, 1)
	go func() {
		var err error
		c, err = engineio.Server(a, opts)
		made <- err
	}()
	_, frame, err := b.Read(nil)
	require.NoError(t, err)
	require.NoError(t, <-made)
	return c, b, string(frame)
}

// rawClient returns a Client that has read the handshake, with its peer beneath.
func rawClient(t *testing.T, v engineio.Version) (c *engineio.Conn, peer transport.Conn) {
	t.Helper()
	a, b := transport.Pipe()
	c = engineio.Client(b, &engineio.Options{Version: v})
	sent := make(chan error, 1)
	go func() {
		sent <- errors.Join(
			a.Write(transport.Text, []byte(`0{"sid":"some-id","upgrades":[],"pingInterval":25000,"pingTimeout":20000}`)),
			a.Write(transport.Text, []byte("4hello")))
	}()
	_, msg, err := c.Read(nil)
	require.NoError(t, err)
	require.Equal(t, "hello", string(msg))
	require.NoError(t, <-sent)
	return c, a
}

// A reaction is what one packet does to a connection: nothing, or its end.
type reaction struct {
	name  string
	typ   transport.MessageType
	frame string
	code  transport.StatusCode // that the peer sees; 0 when the packet is ignored
}

func TestReactionsOfAServer(t *testing.T) {
	t.Parallel()
	both := []reaction{
		{"noop", transport.Text, "6", 0},
		{"stray upgrade", transport.Text, "5", 0},
		{"stray pong", transport.Text, "3", 0},
		{"close on a WebSocket", transport.Text, "1", 0},
		{"open", transport.Text, "0{}", 0},
		{"empty", transport.Text, "", transport.StatusNoStatus},
		{"unknown type", transport.Text, "7", transport.StatusNoStatus},
		{"letter", transport.Text, "x", transport.StatusNoStatus},
		{"text that is not UTF-8", transport.Text, "4\xff", transport.StatusInvalidPayload},
	}
	reactions(t, engineio.V4, both, rawPeerOfServer)
	reactions(t, engineio.V4, []reaction{
		{"ping", transport.Text, "2", transport.StatusNoStatus},
		{"probe", transport.Text, "2probe", transport.StatusNoStatus},
	}, rawPeerOfServer)
	reactions(t, engineio.V3, both, rawPeerOfServer)
	reactions(t, engineio.V3, []reaction{
		{"empty binary", transport.Binary, "", transport.StatusNoStatus},
		{"unknown binary type", transport.Binary, "\x09", transport.StatusNoStatus},
		{"binary noop", transport.Binary, "\x06", 0},
	}, rawPeerOfServer)
}

func TestReactionsOfAClient(t *testing.T) {
	t.Parallel()
	for _, v := range []engineio.Version{engineio.V3, engineio.V4} {
		reactions(t, v, []reaction{
			{"noop", transport.Text, "6", 0},
			{"stray upgrade", transport.Text, "5", 0},
			{"stray pong", transport.Text, "3", 0},
			{"second handshake", transport.Text, "0{}", transport.StatusNoStatus},
			{"empty", transport.Text, "", transport.StatusNoStatus},
			{"unknown type", transport.Text, "7", transport.StatusNoStatus},
			{"text that is not UTF-8", transport.Text, "4\xff", transport.StatusInvalidPayload},
		}, rawClient)
	}
	reactions(t, engineio.V3, []reaction{{"ping", transport.Text, "2", 0}}, rawClient)
}

func rawPeerOfServer(t *testing.T, v engineio.Version) (c *engineio.Conn, peer transport.Conn) {
	c, peer, _ = rawServer(t, &engineio.Options{Version: v})
	return c, peer
}

func reactions(t *testing.T, v engineio.Version, rs []reaction,
	connect func(*testing.T, engineio.Version) (*engineio.Conn, transport.Conn),
) {
	for _, r := range rs {
		t.Run("EIO"+v.String()+"/"+r.name, func(t *testing.T) {
			t.Parallel()
			c, peer := connect(t, v)
			sent := make(chan error, 1)
			go func() {
				err := peer.Write(r.typ, []byte(r.frame))
				if r.code == 0 {
					err = errors.Join(err, peer.Write(transport.Text, []byte("4after")))
				}
				sent <- err
			}()
			_, msg, err := c.Read(nil)
			require.NoError(t, <-sent)
			if r.code == 0 {
				require.NoError(t, err)
				require.Equal(t, "after", string(msg))
				require.NoError(t, c.Close(transport.StatusNormal, ""))
				return
			}
			require.ErrorIs(t, err, engineio.ErrProtocol)
			require.ErrorIs(t, c.Write(transport.Text, nil), engineio.ErrProtocol)
			_, _, err = c.Read(nil)
			require.ErrorIs(t, err, engineio.ErrProtocol)
			_, _, err = peer.Read(nil)
			require.Equal(t, &transport.CloseError{Code: r.code}, err)
		})
	}
}

func TestCloseOfTheServerEndsAClient(t *testing.T) {
	t.Parallel()
	c, peer := rawClient(t, engineio.V4)
	sent := make(chan error, 1)
	go func() { sent <- peer.Write(transport.Text, []byte("1")) }()
	_, _, err := c.Read(nil)
	require.NoError(t, <-sent)
	require.Equal(t, &transport.CloseError{Code: transport.StatusAbnormal}, err)
}

func TestClientRefusesWhatIsNoHandshake(t *testing.T) {
	t.Parallel()
	for _, frame := range []string{"40", "6", "0", "0{}", `0{"sid":"a","sid":"b","pingInterval":1,"pingTimeout":1}`} {
		a, b := transport.Pipe()
		c := engineio.Client(b, nil)
		sent := make(chan error, 1)
		go func() { sent <- a.Write(transport.Text, []byte(frame)) }()
		_, _, err := c.Read(nil)
		require.ErrorIs(t, err, engineio.ErrProtocol, frame)
		require.NoError(t, <-sent)
		_, _, err = a.Read(nil)
		require.Equal(t, &transport.CloseError{Code: transport.StatusNoStatus}, err)
	}
}

func TestNoOtherTypeOfMessageIsWritten(t *testing.T) {
	t.Parallel()
	server, client := open(t, nil)
	require.Error(t, server.Write(3, nil))
	require.Error(t, client.WriteBatch(0, [][]byte{nil}))
	require.NoError(t, server.Close(transport.StatusNormal, ""))
}

func TestWriteGivesUpAPeerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, peer, _ := rawServer(t, nil)
		require.ErrorIs(t, c.Write(transport.Text, []byte("unread")), transport.ErrWriteTimeout)
		for range 3 {
			_, _, err := c.Read(nil)
			require.ErrorIs(t, err, transport.ErrWriteTimeout)
			require.ErrorIs(t, c.Write(transport.Text, nil), transport.ErrWriteTimeout)
		}
		require.NoError(t, c.Close(transport.StatusNormal, ""))
		_, _, err := peer.Read(nil)
		require.Equal(t, &transport.CloseError{Code: transport.StatusAbnormal}, err)
	})
}

func TestMessagesDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, v := range []engineio.Version{engineio.V3, engineio.V4} {
		server, client := open(t, &engineio.Options{Version: v})
		batch := [][]byte{make([]byte, 150), make([]byte, 5500)}
		next, written := make(chan transport.MessageType), make(chan error, 1)
		go func() {
			for typ := range next {
				written <- errors.Join(client.Write(typ, batch[1]), client.WriteBatch(typ, batch))
			}
		}()
		for _, typ := range []transport.MessageType{transport.Text, transport.Binary} {
			buf := make([]byte, 0, 8192)
			require.Zero(t, testing.AllocsPerRun(100, func() {
				next <- typ
				for range 3 {
					if _, _, err := server.Read(buf); err != nil {
						panic(err)
					}
				}
				if err := <-written; err != nil {
					panic(err)
				}
			}), "%v of V%v", typ, v)
		}
		close(next)
		require.NoError(t, server.Close(transport.StatusNormal, ""))
	}
}

func TestNoOtherVersionIsSpoken(t *testing.T) {
	t.Parallel()
	a, _ := transport.Pipe()
	require.Panics(t, func() { engineio.Client(a, &engineio.Options{Version: 2}) })
	require.Panics(t, func() { _, _ = engineio.Server(a, &engineio.Options{Version: 5}) })
}

// A plainConn is no transport.BatchWriter.
type plainConn struct{ transport.Conn }

// A countingConn counts the writes of batches.
type countingConn struct {
	transport.Conn
	batches int
}

func (c *countingConn) WriteBatch(typ transport.MessageType, msgs [][]byte) error {
	c.batches++
	for _, m := range msgs {
		if err := c.Write(typ, m); err != nil {
			return err
		}
	}
	return nil
}

func TestABatchStaysABatchBeneath(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := transport.Pipe()
		lower := &countingConn{Conn: a}
		c := engineio.Client(lower, nil)
		var got []string
		go func() {
			for {
				_, frame, err := b.Read(nil)
				if err != nil {
					return
				}
				got = append(got, string(frame))
			}
		}()
		msgs := [][]byte{[]byte("one"), []byte("two"), {}}
		require.NoError(t, c.WriteBatch(transport.Text, msgs))
		require.NoError(t, c.WriteBatch(transport.Binary, msgs))
		require.NoError(t, c.WriteBatch(transport.Text, nil))
		require.NoError(t, engineio.Client(plainConn{a}, nil).WriteBatch(transport.Text, msgs[:2]))
		synctest.Wait()
		require.Equal(t, []string{"4one", "4two", "4", "one", "two", "", "4one", "4two"}, got)
		require.Equal(t, 2, lower.batches)
		require.NoError(t, a.Close(transport.StatusNormal, ""))
	})
}
