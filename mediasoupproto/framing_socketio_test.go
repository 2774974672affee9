package mediasoupproto

import (
	"fmt"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
)

// An engineConn says which version of Engine.IO it carries.
type engineConn struct {
	transport.Conn
	version engineio.Version
}

func (c engineConn) EngineIO() engineio.Version { return c.version }

var engineVersions = []engineio.Version{engineio.V3, engineio.V4}

// openings returns one end of [SocketIO] and the bare other end.
func opening(client bool, version engineio.Version) (opened, bare transport.Conn) {
	near, far := transport.Pipe()
	return SocketIO.Open(engineConn{near, version}, client), far
}

// A heard is what a reader got, or the error that ended it.
type heard struct {
	texts []string
	err   error
}

// listen reads from a connection until it ends.
func listen(c transport.Conn) *heard {
	h := new(heard)
	go func() {
		var buf []byte
		for {
			_, msg, err := c.Read(buf)
			if err != nil {
				h.err = err
				return
			}
			h.texts = append(h.texts, string(msg))
			buf = msg
		}
	}()
	return h
}

// say writes messages from a goroutine of its own, and waits until all are quiet.
func say(t *testing.T, c transport.Conn, texts ...string) {
	t.Helper()
	for _, text := range texts {
		go func() { _ = c.Write(transport.Text, []byte(text)) }()
		synctest.Wait()
	}
}

var session = regexp.MustCompile(`^0\{"sid":"[A-Za-z0-9_-]{20}"\}$`)

func TestBothEndsOfSocketIOOpenTheNamespaceAndThenTalk(t *testing.T) {
	t.Parallel()
	for _, version := range engineVersions {
		synctest.Test(t, func(t *testing.T) {
			near, far := transport.Pipe()
			client := SocketIO.Open(engineConn{near, version}, true)
			server := SocketIO.Open(engineConn{far, version}, false)
			say(t, client, "2[\"early\"]", "2[\"second\"]")
			atClient, atServer := listen(client), listen(server)
			synctest.Wait()
			require.Equal(t, []string{`2["early"]`, `2["second"]`}, atServer.texts)
			require.Empty(t, atClient.texts)
			say(t, server, `2["hello"]`)
			say(t, client, `27["late"]`)
			require.Equal(t, []string{`2["hello"]`}, atClient.texts)
			require.Equal(t, []string{`2["early"]`, `2["second"]`, `27["late"]`}, atServer.texts)
			require.NoError(t, client.Close(transport.StatusNormal, "bye"))
			synctest.Wait()
			require.ErrorIs(t, atClient.err, transport.ErrClosed)
			require.Equal(t, &transport.CloseError{Code: transport.StatusNormal, Reason: "bye"}, atServer.err)
		})
	}
}

// Under Engine.IO 4 the client asks for the namespace, and the server answers with a session.
func TestAServerOfSocketIO4AnswersTheConnectPacket(t *testing.T) {
	t.Parallel()
	for _, hello := range []string{"0", "0/,", `0{"token":"x"}`} {
		synctest.Test(t, func(t *testing.T) {
			server, bare := opening(false, engineio.V4)
			atServer, atBare := listen(server), listen(bare)
			synctest.Wait()
			require.Empty(t, atBare.texts, "it waits")
			say(t, server, `2["early"]`)
			require.Empty(t, atBare.texts)
			say(t, bare, hello)
			require.Len(t, atBare.texts, 2)
			require.Regexp(t, session, atBare.texts[0])
			require.Equal(t, `2["early"]`, atBare.texts[1], "what was written before comes after")
			say(t, bare, `2["a"]`)
			require.Equal(t, []string{`2["a"]`}, atServer.texts)
			require.NoError(t, bare.Close(transport.StatusNormal, ""))
			synctest.Wait()
		})
	}
}

// Under Engine.IO 3 the server opens the namespace unasked.
func TestAServerOfSocketIO2SaysThatTheNamespaceIsOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, bare := opening(false, engineio.V3)
		atBare := listen(bare)
		atServer := listen(server)
		synctest.Wait()
		require.Equal(t, []string{"0"}, atBare.texts)
		say(t, bare, `2["a"]`)
		require.Equal(t, []string{`2["a"]`}, atServer.texts)
		say(t, server, `2["b"]`)
		require.Equal(t, []string{"0", `2["b"]`}, atBare.texts)
		require.NoError(t, bare.Close(transport.StatusNormal, ""))
		synctest.Wait()
	})
}

func TestAClientOfSocketIOWaitsForTheNamespace(t *testing.T) {
	t.Parallel()
	for _, version := range engineVersions {
		synctest.Test(t, func(t *testing.T) {
			client, bare := opening(true, version)
			atBare := listen(bare)
			atClient := listen(client)
			synctest.Wait()
			var want []string
			hello := "0"
			if version == engineio.V4 {
				want, hello = append(want, "0"), `0{"sid":"a","pid":"b"}`
			}
			require.Equal(t, want, atBare.texts)
			say(t, client, `2["early"]`)
			require.Equal(t, want, atBare.texts)
			say(t, bare, hello)
			require.Equal(t, append(want, `2["early"]`), atBare.texts)
			say(t, bare, `2["a"]`, `37[null,{}]`)
			require.Equal(t, []string{`2["a"]`, `37[null,{}]`}, atClient.texts)
			require.NoError(t, bare.Close(transport.StatusNormal, ""))
			synctest.Wait()
		})
	}
}

func TestSocketIOEndsAConnectionThatBreaksItsRules(t *testing.T) {
	t.Parallel()
	notOpen := &transport.CloseError{Code: transport.StatusProtocolError, Reason: "not connected"}
	wrong := &transport.CloseError{Code: transport.StatusProtocolError, Reason: "wrong connect packet"}
	over := &transport.CloseError{Code: transport.StatusNormal, Reason: "disconnected"}
	for _, tt := range []struct {
		client  bool
		version engineio.Version
		texts   []string
		want    error
	}{
		{false, engineio.V4, []string{`2["a"]`}, notOpen},
		{false, engineio.V4, []string{"garbage"}, notOpen},
		{false, engineio.V4, []string{"0/room,"}, wrong},
		{false, engineio.V4, []string{"0{"}, wrong},
		{false, engineio.V4, []string{"0", "0"}, wrong},
		{false, engineio.V3, []string{"0"}, wrong},
		{false, engineio.V4, []string{"0", "1"}, over},
		{false, engineio.V3, []string{"1"}, over},
		{true, engineio.V4, []string{`4{"message":"no"}`}, over},
		{true, engineio.V3, []string{`4"no"`}, over},
		{true, engineio.V3, []string{"0", "1"}, over},
		{true, engineio.V4, []string{"0", `0{"sid":"a"}`}, wrong},
		{true, engineio.V4, []string{`2["a"]`}, notOpen},
	} {
		synctest.Test(t, func(t *testing.T) {
			opened, bare := opening(tt.client, tt.version)
			atBare, at := listen(bare), listen(opened)
			synctest.Wait()
			say(t, bare, tt.texts...)
			require.Equal(t, tt.want, at.err, "%v %v %v", tt.client, tt.version, tt.texts)
			require.Empty(t, at.texts)
			require.NoError(t, opened.Close(transport.StatusNormal, ""))
			synctest.Wait()
			require.Error(t, atBare.err)
		})
	}
}

// What is no text, or empty, is left to who reads the frames.
func TestSocketIOHandsOnWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, bare := opening(false, engineio.V3)
		atBare := listen(bare)
		var types []transport.MessageType
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 3 {
				typ, _, err := server.Read(nil)
				if err != nil {
					return
				}
				types = append(types, typ)
			}
		}()
		synctest.Wait()
		go func() {
			_ = bare.Write(transport.Binary, []byte("0"))
			_ = bare.Write(transport.Text, nil)
			_ = bare.Write(transport.Text, []byte("x"))
		}()
		<-done
		require.Equal(t, []transport.MessageType{transport.Binary, transport.Text, transport.Text}, types)
		require.NoError(t, bare.Close(transport.StatusNormal, ""))
		synctest.Wait()
		require.Equal(t, []string{"0"}, atBare.texts)
	})
}

func TestSocketIOKeepsSoMuchUntilTheNamespaceIsOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, bare := opening(true, engineio.V3)
		buf := []byte(`2["00"]`)
		for i := range maxWaiting {
			copy(buf, fmt.Sprintf(`2["%02d"]`, i))
			require.NoError(t, client.Write(transport.Text, buf))
		}
		require.ErrorIs(t, client.Write(transport.Text, buf), errNotOpen)
		atBare, atClient := listen(bare), listen(client)
		say(t, bare, "0")
		require.Len(t, atBare.texts, maxWaiting)
		for i, text := range atBare.texts {
			require.Equal(t, fmt.Sprintf(`2["%02d"]`, i), text)
		}
		say(t, client, `2["more"]`)
		require.Len(t, atBare.texts, maxWaiting+1)
		require.NoError(t, bare.Close(transport.StatusNormal, ""))
		synctest.Wait()
		require.Error(t, atClient.err)
	})
}

// Whoever does not read what opens the connection ends it.
func TestSocketIOGivesUpOnAPeerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, end := range []struct {
			client  bool
			version engineio.Version
		}{{true, engineio.V4}, {false, engineio.V3}} {
			opened, _ := opening(end.client, end.version)
			begin := time.Now()
			_, _, err := opened.Read(nil)
			require.ErrorIs(t, err, transport.ErrWriteTimeout)
			require.Equal(t, transport.DefaultWriteTimeout, time.Since(begin))
			_, _, err = opened.Read(nil)
			require.Error(t, err, "it does not begin again")
		}
		server, bare := opening(false, engineio.V4)
		go func() { _ = bare.Write(transport.Text, []byte("0")) }()
		_, _, err := server.Read(nil)
		require.ErrorIs(t, err, transport.ErrWriteTimeout)
	})
}
