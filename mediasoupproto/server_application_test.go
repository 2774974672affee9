package mediasoupproto

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// dialIn gives a server a connection, and returns the client at its other end.
func dialIn(t *testing.T, srv *Server, c *Connection) *Client {
	t.Helper()
	near, far := transport.Pipe()
	ctx := context.Background()
	if c != nil {
		ctx = WithConnection(ctx, *c)
	}
	go func() { _ = srv.Serve(ctx, far) }()
	client, err := Connect(t.Context(), near, nil)
	require.NoError(t, err)
	return client
}

// joinAs lets a client join by a name.
func joinAs(t *testing.T, c *Client, name string) {
	t.Helper()
	_, err := c.Join(t.Context(), &Join{
		PeerName: name, RTPCapabilities: DefaultCapabilities(), AppData: json.RawMessage(`"` + name + `"`),
	})
	require.NoError(t, err)
}

func TestApplicationHearsOfEachDepartureOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var heard []Departure
		srv := NewServer(&ServerOptions{
			AllowAll: true,
			OnLeft: func(_ context.Context, s *ServerSession, d Departure) {
				mu.Lock()
				defer mu.Unlock()
				if s.ID() != d.Peer {
					t.Error("another session")
				}
				d.Peer = 0
				heard = append(heard, d)
			},
		})
		left := func() (all []Departure) {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			all, heard = heard, nil
			return all
		}
		of := func(name string) []Departure {
			return []Departure{{Room: "r", PeerName: name, AppData: json.RawMessage(`"` + name + `"`)}}
		}
		named := func(name string) *Client {
			c := dialIn(t, srv, &Connection{Room: "r", PeerName: name})
			joinAs(t, c, name)
			return c
		}
		ann, ben, cem := named("ann"), named("ben"), named("cem")
		require.Empty(t, left())
		require.NoError(t, ann.Leave(nil))
		require.Equal(t, of("ann"), left())
		require.NoError(t, ann.Close())
		require.Empty(t, left(), "it had left before")
		require.NoError(t, srv.Session("r", "ben").ClosePeer(nil))
		require.Equal(t, of("ben"), left())
		joinAs(t, ben, "ben")
		require.NoError(t, ben.Close())
		require.Equal(t, of("ben"), left())
		again := dialIn(t, srv, &Connection{Room: "r", PeerName: "cem"}) // takes the place of the other one
		require.Equal(t, of("cem"), left())
		<-cem.Done()
		joinAs(t, again, "cem")
		require.NoError(t, srv.CloseRoom("r"))
		require.Equal(t, of("cem"), left())
		joinAs(t, again, "cem")
		require.NoError(t, srv.Close())
		require.Equal(t, of("cem"), left())
		<-again.Done()
	})
}

func TestServerAsksItsClients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := NewServer(&ServerOptions{AllowAll: true})
		defer srv.Close()
		c := dialIn(t, srv, nil)
		defer c.Close()
		joinAs(t, c, "ann")
		sess := srv.Session("", "ann")
		go func() {
			for m := range c.Messages(context.Background()) {
				a, ok := m.(*Application)
				if !ok {
					continue
				}
				r := &Response{Head: Head{RequestID: a.RequestID}, Result: a.Data}
				switch a.Method {
				case "refuse":
					r = &Response{Head: Head{RequestID: a.RequestID}, Error: &Error{Code: 7, Reason: "no"}}
				case "ignore":
					continue
				}
				_ = c.Send(r)
			}
		}()
		result, err := sess.Ask(t.Context(), "echo", json.RawMessage(`{"n":1}`))
		require.NoError(t, err)
		require.JSONEq(t, `{"n":1}`, string(result))
		_, err = sess.Ask(t.Context(), "refuse", nil)
		require.Equal(t, &Error{Code: 7, Reason: "no"}, err)
		_, err = sess.Ask(t.Context(), MethodRequest, nil)
		require.ErrorAs(t, err, new(*ValidationError))

		ended, end := context.WithCancel(t.Context())
		asked := make(chan error)
		go func() {
			_, err := sess.Ask(ended, "ignore", nil)
			asked <- err
		}()
		synctest.Wait()
		end()
		require.ErrorIs(t, <-asked, context.Canceled)
		go func() {
			_, err := sess.Ask(t.Context(), "ignore", nil)
			asked <- err
		}()
		synctest.Wait()
		require.NoError(t, c.Close())
		require.ErrorIs(t, <-asked, ErrConnectionLost)
		_, err = sess.Ask(t.Context(), "echo", nil)
		require.Error(t, err)
	})
}

func TestServerDoesNotSendWhatOnlyClientsSay(t *testing.T) {
	t.Parallel()
	srv := NewServer(&ServerOptions{AllowAll: true})
	defer srv.Close()
	for method, def := range registry {
		m := def.construct()
		ofClient := allowedStates(m) != nil
		_, refused := errorAs[*StateError](srv.Send(1, m))
		require.Equal(t, ofClient, refused, method)
		_, refused = errorAs[*StateError](srv.SendRoom("r", m))
		require.Equal(t, ofClient, refused, method)
	}
	require.ErrorAs(t, srv.Send(1, &Response{Head: Head{RequestID: "1"}}), new(*StateError))
	require.Equal(t, ErrUnknownPeer, srv.Send(1, &Application{Method: "news"}))
	require.Equal(t, ErrUnknownPeer, srv.Send(1, &Unknown{Type: "news"}))
	require.Equal(t, ErrUnknownPeer, srv.Send(1, &PeerClosed{Name: "ann"}))
}

func errorAs[E error](err error) (e E, ok bool) {
	e, ok = err.(E)
	return e, ok
}

func TestContextOfAConnectionCountsBeforeTheHook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := NewServer(&ServerOptions{
			AllowAll:   true,
			Connection: func(context.Context) (Connection, error) { return Connection{Room: "hook"}, nil },
		})
		defer srv.Close()
		said, not := dialIn(t, srv, &Connection{Room: "context", PeerName: "ann"}), dialIn(t, srv, nil)
		defer said.Close()
		defer not.Close()
		joinAs(t, said, "ann")
		joinAs(t, not, "ann")
		require.NotNil(t, srv.Session("context", "ann"))
		require.NotNil(t, srv.Session("hook", "ann"))
		_, err := said.Join(t.Context(), &Join{PeerName: "ben", RTPCapabilities: DefaultCapabilities()})
		require.Error(t, err)
	})
}
