package mediasoupproto

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

func TestAServerThatDoesNotStopEndsTheClientOnceItWouldKeepTooMuch(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 2000)
	for name, e := range map[string]script.Endless{
		"peers": {Want: ErrTooMuchState, Say: func(i int) string {
			return told(ofPeer("newPeer", fmt.Sprintf(`,"name":"p%d","consumers":[]`, i)))
		}},
		"data of peers": {Want: ErrTooMuchState, Say: func(i int) string {
			return told(ofPeer("newPeer", fmt.Sprintf(`,"name":"p%d","appData":"%s"`, i, long)))
		}},
		"consumers": {Want: ErrTooMuchState, Say: func(i int) string {
			return told(ofPeer("newConsumer", fmt.Sprintf(`,"id":%d,%s,"peerName":"bob"`, 100+i, clientConsumer)))
		}},
		"a profile": {Want: ErrTooMuchState, Say: func(i int) string {
			return told(ofPeer("consumerPreferredProfileSet", `,"id":7,"peerName":"bob","profile":"`+strings.Repeat(long, 4*i)+`"`))
		}},
		"an effective profile": {Want: ErrTooMuchState, Say: func(i int) string {
			return told(ofPeer("consumerEffectiveProfileChanged", `,"id":7,"peerName":"bob","profile":"`+strings.Repeat(long, 4*i)+`"`))
		}},
		"messages that nobody reads": {Unread: true, Want: ErrSlowConsumer, Say: func(int) string {
			return told(ofPeer("transportStats", `,"id":1,"stats":["`+long+`"]`))
		}},

		"peers that come and go": {Say: func(i int) string {
			if i%2 == 0 {
				return told(ofPeer("newPeer", fmt.Sprintf(`,"name":"p%d","appData":"%s"`, i, long)))
			}
			return told(ofPeer("peerClosed", fmt.Sprintf(`,"name":"p%d"`, i-1)))
		}},
		"consumers that come and go": {Say: func(i int) string {
			if i%2 == 0 {
				return told(ofPeer("newConsumer", fmt.Sprintf(`,"id":%d,%s,"peerName":"bob"`, 100+i, clientConsumer)))
			}
			return told(ofPeer("consumerClosed", fmt.Sprintf(`,"id":%d,"peerName":"bob"`, 100+i-1)))
		}},
		"a peer that is there already": {Say: func(int) string {
			return told(ofPeer("newPeer", `,"name":"bob","appData":"`+long+`"`))
		}},
		"statistics": {Say: func(int) string { return told(ofPeer("transportStats", `,"id":1,"stats":["`+long+`"]`)) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, p := joinedClient(t, &ClientOptions{StateBytes: 64 << 10, Inbox: -1})
				script.RequireEndless(t, e, p, c)
			})
		})
	}
}

// What a client keeps must not hold a megabyte of blanks, which is not counted.
func TestWhatAClientKeepsOfAMessageDoesNotKeepAllOfIt(t *testing.T) {
	t.Parallel()
	blanks := strings.Repeat(" ", 1<<20)
	for name, text := range map[string]string{
		"a peer": ofPeer("newPeer", `,"name":"carol",~"appData":{"a":1},"more":[1],"consumers":[{"id":8,`+
			clientConsumer+`,"peerName":"carol","appData":[1]}]`),
		"a consumer": ofPeer("newConsumer", `,"id":9,`+clientConsumer+`,"peerName":"bob",~"appData":[1],"more":[1]`),
		"a profile":  ofPeer("consumerPreferredProfileSet", `,"id":7,"peerName":"bob",~"profile":"a very long one"`),
		"another":    ofPeer("consumerEffectiveProfileChanged", `,"id":7,"peerName":"bob",~"profile":"a very long one"`),
	} {
		m := NewClientMachine(ClientConfig{})
		m.Start(clientDawn)
		_, err := m.Send(clientDawn, joinOf(t, "alice"))
		require.NoError(t, err)
		m.Receive(clientDawn, &Response{Head: Head{RequestID: m.pending[0].id}, Result: json.RawMessage(clientBob)})
		msg, all := aliased(t, []byte(told(strings.Replace(text, "~", blanks, 1))))
		runtime.GC()
		require.NotNil(t, all.Value(), name)
		runtime.KeepAlive(msg)
		before := m.kept()
		m.Receive(clientDawn, msg)
		require.Greater(t, m.kept(), before, name)
		msg = nil
		runtime.GC()
		require.Nil(t, all.Value(), name)
		runtime.KeepAlive(m)
	}
}

func TestAServerThatDoesNotAnswerAJoinEndsTheClientOnceItWouldKeepTooMuch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := newClient(t, &ClientOptions{StateBytes: 64 << 10, Inbox: -1})
		joined := make(chan error, 1)
		go func() {
			_, err := c.Join(t.Context(), joinOf(t, "alice"))
			joined <- err
		}()
		p.Skip(1)
		script.RequireEndless(t, script.Endless{Want: ErrTooMuchState, Say: func(i int) string {
			return told(ofPeer("newPeer", fmt.Sprintf(`,"name":"p%d"`, i)))
		}}, p, c)
		require.ErrorIs(t, <-joined, ErrConnectionLost)
	})
}

func TestARoomThatIsTooMuchEndsTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := newClient(t, &ClientOptions{
			StateBytes: 1 << 10,
			Redial:     func(context.Context) (transport.Conn, error) { panic("not again") },
		})
		p.Answer(asked(1, clientJoin), granted(1, `{"peers":[{"name":"`+strings.Repeat("x", 2000)+`","consumers":[]}]}`))
		_, err := c.Join(t.Context(), joinOf(t, "alice"))
		require.NoError(t, err, "that it says so comes before")
		p.Closed(transport.StatusPolicyViolation, "too much state")
		<-c.Done()
		require.Equal(t, ErrTooMuchState, c.Err())
	})
}
