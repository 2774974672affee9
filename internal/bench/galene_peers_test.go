package bench

import (
	"context"
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// A galeneReceiver returns the next chat message that a client has got.
type galeneReceiver func() (galeneChat, error)

// galeneLibraries join a group and receive what is said there.
var galeneLibraries = []struct {
	name string
	join func(tb testing.TB, url string) galeneReceiver
}{{"rtcsignal", joinRTCSignal}, {"flat", joinFlat}}

const (
	galeneHandshake = `{"type":"handshake","version":["2"]}`
	galeneJoined    = `{"type":"joined","kind":"join","username":"alice","permissions":["present","message"],` +
		`"status":{"name":"test","clientCount":1},"group":"test","rtcConfiguration":{}}`
	galeneSelf = `{"type":"user","kind":"add","id":"the one who listens","username":"alice",` +
		`"permissions":["present","message"]}`
)

// joinRTCSignal joins with a client whose options are the defaults.
func joinRTCSignal(tb testing.TB, url string) galeneReceiver {
	conn, err := wsconn.Dial(context.Background(), url, nil)
	require.NoError(tb, err)
	client, err := galene.Connect(context.Background(), conn, nil)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, client.Close()) })
	username := "alice"
	_, err = client.Join(context.Background(), &galene.Join{Group: "test", Username: &username})
	require.NoError(tb, err)
	return func() (galeneChat, error) {
		for {
			m, err := client.Next(context.Background())
			if err != nil {
				return galeneChat{}, err
			}
			if chat, ok := m.(*galene.Chat); ok {
				return chatOf(chat), nil
			}
		}
	}
}

// joinFlat joins the usual way: a goroutine reads one struct after the other with
// gorilla/websocket and hands events to the application, through a channel of eight. It
// checks nothing.
func joinFlat(tb testing.TB, url string) galeneReceiver {
	ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(url, "http"), nil)
	require.NoError(tb, err)
	username := "alice"
	require.NoError(tb, ws.WriteJSON(&flatMessage{Type: "handshake", Version: []string{"2"}, ID: "the one who listens"}))
	require.NoError(tb, ws.WriteJSON(&flatMessage{Type: "join", Kind: "join", Group: "test", Username: &username}))
	events := make(chan any, 8)
	go func() {
		defer close(events)
		for {
			var m flatMessage
			if err := ws.ReadJSON(&m); err != nil {
				events <- err
				return
			}
			if m.Type == "chat" {
				events <- m.chat()
			}
		}
	}()
	tb.Cleanup(func() {
		_ = ws.Close()
		for range events { // so that the reader ends
		}
	})
	return func() (galeneChat, error) {
		switch e := (<-events).(type) {
		case galeneChat:
			return e, nil
		case error:
			return galeneChat{}, e
		}
		return galeneChat{}, websocket.ErrCloseSent
	}
}

// galeneTogether is how many chat messages the feed writes with one system call, and
// galeneAhead how many such writes it may be ahead of the receiver: fewer messages than
// the inbox of a client takes.
const (
	galeneTogether = 64
	galeneAhead    = 3
)

// A galeneFeed is a server that has one client, which it tells the same over and over as
// fast as it is allowed to. It costs next to nothing: the frames are made once.
type galeneFeed struct {
	frames  []byte
	allowed chan struct{} // a token for each write of galeneTogether frames
}

// newGaleneFeed returns a feed of a message, and its URL.
func newGaleneFeed(tb testing.TB, text string) (f *galeneFeed, url string) {
	f = &galeneFeed{allowed: make(chan struct{}, galeneAhead)}
	for range galeneTogether {
		f.frames = append(f.frames, textFrame(text)...)
	}
	web := httptest.NewServer(f)
	tb.Cleanup(web.Close)
	return f, web.URL
}

// textFrame returns a WebSocket frame as servers send it.
func textFrame(text string) []byte {
	if len(text) < 126 {
		return append([]byte{0x81, byte(len(text))}, text...)
	}
	return append(binary.BigEndian.AppendUint16([]byte{0x81, 126}, uint16(len(text))), text...)
}

func (f *galeneFeed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var upgrader websocket.Upgrader
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	for _, answers := range [][]string{{galeneHandshake}, {galeneJoined, galeneSelf}} {
		if _, _, err := ws.ReadMessage(); err != nil {
			return
		}
		for _, a := range answers {
			_ = ws.WriteMessage(websocket.TextMessage, []byte(a))
		}
	}
	stop := make(chan struct{})
	var feed sync.WaitGroup
	feed.Go(func() {
		for {
			select {
			case <-f.allowed:
				_, _ = ws.NetConn().Write(f.frames)
			case <-stop:
				return
			}
		}
	})
	for err == nil { // until the client goes, whose pings want no answer here
		_, _, err = ws.ReadMessage()
	}
	_ = ws.Close()
	close(stop)
	feed.Wait()
}

// receiving allows the feed to go on as fast as next takes what comes.
func (f *galeneFeed) receiving(next galeneReceiver) galeneReceiver {
	for range galeneAhead {
		f.allowed <- struct{}{}
	}
	n := 0
	return func() (galeneChat, error) {
		chat, err := next()
		if n++; n%galeneTogether == 0 && err == nil {
			f.allowed <- struct{}{}
		}
		return chat, err
	}
}
