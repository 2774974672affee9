package galene

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"unsafe"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

func TestAServerThatDoesNotStopEndsTheClientOnceItWouldKeepTooMuch(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 2000)
	for name, e := range map[string]script.Endless{
		"members": {Want: ErrTooMuchState, Say: func(i int) string {
			return fmt.Sprintf(`{"type":"user","kind":"add","id":"u%d","username":"anna","permissions":["present"]}`, i)
		}},
		"members that it changes first": {Want: ErrTooMuchState, Say: func(i int) string {
			return fmt.Sprintf(`{"type":"user","kind":"change","id":"u%d","username":"anna"}`, i)
		}},
		"data of one member": {Want: ErrTooMuchState, Say: func(i int) string {
			return fmt.Sprintf(`{"type":"user","kind":"change","id":"u","data":{%s"a":1}}`, members(20*i))
		}},
		"data of the group": {Want: ErrTooMuchState, Say: func(i int) string {
			return `{"type":"joined","kind":"change","group":"g","permissions":[],"data":{` + members(20*i) + `"a":1}}`
		}},
		"streams": {Want: ErrTooMuchState, Say: func(i int) string {
			return fmt.Sprintf(`{"type":"offer","id":"s%d","source":"b","username":"bob","label":"camera","sdp":"v=0"}`, i)
		}},
		"names of streams": {Want: ErrTooMuchState, Say: func(i int) string {
			return fmt.Sprintf(`{"type":"offer","id":"s%d%s","source":"b","sdp":"v=0"}`, i, long)
		}},
		"candidates of no stream": {Want: ErrTooMuchState, Say: func(i int) string {
			return fmt.Sprintf(`{"type":"ice","id":"s%d","candidate":{"candidate":%q}}`, i, long)
		}},
		"messages that nobody reads": {Unread: true, Want: ErrSlowConsumer, Say: func(int) string {
			return `{"type":"chat","source":"b","username":"bob","value":"` + long + `"}`
		}},

		"members that come and go": {Say: func(i int) string {
			kind := []string{"add", "delete"}[i%2]
			return fmt.Sprintf(`{"type":"user","kind":"%s","id":"u%d","username":"%s"}`, kind, i/2, long)
		}},
		"a member that changes": {Say: func(i int) string {
			return fmt.Sprintf(`{"type":"user","kind":"change","id":"u","username":"%s%d"}`, long, i)
		}},
		"streams that replace each other": {Say: func(i int) string {
			return fmt.Sprintf(`{"type":"offer","id":"s%d","replace":"s%d","source":"b","sdp":"%s"}`, i+1, i, long)
		}},
		"chat": {Say: func(int) string {
			return `{"type":"chat","source":"b","username":"bob","value":"` + long + `"}`
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, p := joinedClient(t, ClientOptions{StateBytes: 64 << 10, Inbox: -1, Heartbeat: -1, Silence: -1})
				script.RequireEndless(t, e, p, c)
			})
		})
	}
}

// members returns members of an object, each with a comma.
func members(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"member%d":1,`, i)
	}
	return b.String()
}

// What a client keeps must not hold a megabyte of blanks, which is not counted.
func TestWhatAClientKeepsOfAMessageDoesNotKeepAllOfIt(t *testing.T) {
	t.Parallel()
	blanks := strings.Repeat(" ", 1<<20)
	for name, text := range map[string]string{
		"a member":    `{"type":"user","kind":"add","id":"b","username":"bob",~"data":{"a":{"b":1}},"permissions":["present"],"x":[2]}`,
		"the group":   `{"type":"joined","kind":"change","group":"g","permissions":["mine"],~"data":{"a":1},"username":"me"}`,
		"a stream":    `{"type":"offer","id":"s",~"source":"b","sdp":"v=0"}`,
		"a candidate": `{"type":"ice","id":"unknown",~"candidate":{"candidate":"c"}}`,
	} {
		m := NewClientMachine(ClientConfig{})
		m.Start(clientDawn)
		m.Receive(clientDawn, &Handshake{Version: []string{Version}})
		_, err := m.Send(clientDawn, &Join{Kind: JoinJoin, Group: "g", Username: new("u")})
		require.NoError(t, err)
		m.Receive(clientDawn, &Joined{Kind: JoinedJoin, Group: "g"})
		msg, err := Decode([]byte(strings.Replace(text, "~", blanks, 1)))
		require.NoError(t, err)
		id := streamOf(msg)
		switch msg := msg.(type) {
		case *User:
			id = msg.ID
		case *Joined:
			id = msg.Group
		}
		all := weak.Make(unsafe.StringData(id))
		runtime.GC()
		require.NotNil(t, all.Value(), name)
		runtime.KeepAlive(id)
		before := m.kept()
		m.Receive(clientDawn, msg)
		require.Greater(t, m.kept(), before, name)
		msg, id = nil, ""
		runtime.GC()
		require.Nil(t, all.Value(), name)
		runtime.KeepAlive(m)
	}
}

func TestAClientDoesNotGoBackToAServerThatMakesItKeepTooMuch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, ClientOptions{
			StateBytes: 1 << 10,
			Redial:     func(context.Context) (transport.Conn, error) { panic("not again") },
		})
		p.Say(`{"type":"user","kind":"add","id":"b","username":"` + strings.Repeat("x", 2000) + `"}`)
		p.Closed(transport.StatusPolicyViolation, "too much state")
		<-c.Done()
		require.Equal(t, ErrTooMuchState, c.Err())
	})
}

func TestAClientMayKeepAnyAmount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, ClientOptions{StateBytes: -1, Inbox: -1, Heartbeat: -1, Silence: -1})
		script.RequireEndless(t, script.Endless{Say: func(i int) string {
			return fmt.Sprintf(`{"type":"user","kind":"add","id":"u%d","username":"%s"}`, i, strings.Repeat("x", 2000))
		}}, p, c)
	})
}
