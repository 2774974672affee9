package galene

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// What is said most.
const (
	clientHandshake = `{"type":"handshake","version":["2"],"id":"c1"}`
	clientJoin      = `{"type":"join","kind":"join","username":"u","group":"g"}`
	peerHandshake   = `{"type":"handshake","version":["2"]}`
	peerPing        = `{"type":"ping"}`
	peerChat        = `{"type":"chat","source":"b","username":"bob","value":"x"}`
)

var peerJoined = clientIsOp[2:] // what a client hears that is an operator

// clientConnected is what Connect returns.
type clientConnected struct {
	client *Client
	err    error
}

// clientConnects starts Connect over a pipe.
func clientConnects(t *testing.T, ctx context.Context, opts ClientOptions) (*script.Line, <-chan clientConnected) {
	if opts.NewID == nil {
		opts.NewID = countedIDs()
	}
	near, far := transport.Pipe()
	result := make(chan clientConnected, 1)
	go func() {
		c, err := Connect(ctx, near, &opts)
		result <- clientConnected{c, err}
	}()
	return &script.Line{Conn: far, TB: t, JSON: true}, result
}

// readyClient returns a client that is in no group, and the server's end.
func readyClient(t *testing.T, opts ClientOptions) (*Client, *script.Line) {
	t.Helper()
	p, result := clientConnects(t, t.Context(), opts)
	p.Hear(clientHandshake).Say(peerHandshake)
	got := <-result
	require.NoError(t, got.err)
	require.Equal(t, ClientReady, got.client.State())
	return got.client, p
}

// joinedClient returns a client that is in the group g as an operator, and has heard so.
func joinedClient(t *testing.T, opts ClientOptions) (*Client, *script.Line) {
	t.Helper()
	c, p := readyClient(t, opts)
	p.Answer(clientJoin, peerJoined)
	joined, err := c.Join(t.Context(), &Join{Group: "g", Username: new("u")})
	require.NoError(t, err)
	require.Equal(t, "g", joined.Group)
	clientHears(t, c, peerJoined)
	return c, p
}

// clientHears demands what Next returns.
func clientHears(t *testing.T, c *Client, want ...string) {
	t.Helper()
	script.RequireNext(t, c, clientText, want...)
}

// requireClientEnds demands what Next and Err say of the end.
func requireClientEnds(t *testing.T, c *Client, want error) {
	t.Helper()
	script.RequireEnd(t, c, want)
	require.Zero(t, c.calls.Len())
	requireClientForgets(t, c.machine)
}

func TestClientUsesEveryVerb(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, ClientOptions{})
		for _, tt := range []struct {
			do   func() error
			want string
		}{
			{func() error { return c.Chat("hi") }, `{"type":"chat","value":"hi"}`},
			{func() error { return c.ChatTo("b", "hi") }, `{"type":"chat","dest":"b","value":"hi"}`},
			{func() error { return c.Caption("hi") }, `{"type":"chat","kind":"caption","value":"hi"}`},
			{func() error { return c.UserMessage("mine", "b", json.RawMessage(`{"a":1}`)) },
				`{"type":"usermessage","kind":"mine","dest":"b","value":{"a":1}}`},
			{func() error { return c.UserMessage(UserMessageMute, "", nil) },
				`{"type":"usermessage","kind":"mute","noecho":true}`},
			{func() error { return c.UserAction(UserUnpresent, "b") }, `{"type":"useraction","kind":"unpresent","dest":"b"}`},
			{func() error { return c.Kick("b", "") }, `{"type":"useraction","kind":"kick","dest":"b"}`},
			{func() error { return c.Kick("b", "bye") }, `{"type":"useraction","kind":"kick","dest":"b","value":"bye"}`},
			{func() error { return c.SetData(Fields{"a": json.RawMessage("null")}) },
				`{"type":"useraction","kind":"setdata","dest":"c1","value":{"a":null}}`},
			{func() error { return c.SetData(nil) }, `{"type":"useraction","kind":"setdata","dest":"c1","value":{}}`},
			{func() error { return c.RaiseHand(true) },
				`{"type":"useraction","kind":"setdata","dest":"c1","value":{"raisehand":true}}`},
			{func() error { return c.RaiseHand(false) },
				`{"type":"useraction","kind":"setdata","dest":"c1","value":{"raisehand":null}}`},
			{func() error { return c.GroupAction(GroupSubgroups) }, `{"type":"groupaction","kind":"subgroups"}`},
			{func() error { return c.Lock("") }, `{"type":"groupaction","kind":"lock"}`},
			{func() error { return c.Lock("later") }, `{"type":"groupaction","kind":"lock","value":"later"}`},
			{func() error { return c.ClearChat(nil) }, `{"type":"groupaction","kind":"clearchat"}`},
			{func() error { return c.ClearChat(&ClearChat{ID: "m", UserID: "b"}) },
				`{"type":"groupaction","kind":"clearchat","value":{"id":"m","userId":"b"}}`},
			{func() error { return c.SetGroupData(Fields{"a": json.RawMessage("1")}) },
				`{"type":"groupaction","kind":"setdata","value":{"a":1}}`},
			{func() error { return c.Request(map[string][]TrackKind{"": {TrackAudio}, "screenshare": {}}) },
				`{"type":"request","request":{"":["audio"],"screenshare":[]}}`},
			{func() error { return c.Request(nil) }, `{"type":"request"}`},
			{func() error { return c.Send(&Offer{ID: "u1", SDP: "v=0"}) }, `{"type":"offer","id":"u1","sdp":"v=0"}`},
			{func() error { return c.Send(&Unknown{Type: "novelty"}) }, `{"type":"novelty"}`},
		} {
			require.NoError(t, tt.do(), tt.want)
			_, got, err := p.Read(nil)
			require.NoError(t, err)
			var m map[string]any
			require.NoError(t, json.Unmarshal(got, &m))
			switch m["type"] {
			case "chat", "usermessage", "useraction", "groupaction", "offer":
				require.Equal(t, "c1", m["source"])
				require.Equal(t, "u", m["username"])
				delete(m, "source")
				delete(m, "username")
			}
			rest, err := json.Marshal(m)
			require.NoError(t, err)
			require.JSONEq(t, tt.want, string(rest))
		}
		for _, do := range []func(Fields) error{c.SetData, c.SetGroupData} {
			_, ok := errors.AsType[*ValidationError](do(Fields{"a": json.RawMessage("{")}))
			require.True(t, ok)
		}
		offer := `{"type":"offer","id":"d1","sdp":"v=0","source":"b"}`
		p.Say(offer)
		clientHears(t, c, offer)
		require.NoError(t, c.RequestStream("d1", nil))
		require.NoError(t, c.RequestStream("d1", []TrackKind{TrackAudio, TrackVideoLow}))
		require.NoError(t, c.RequestStream("d1", []TrackKind{}))
		p.Hear(`{"type":"requestStream","id":"d1"}`, `{"type":"requestStream","id":"d1","request":["audio","video-low"]}`,
			`{"type":"requestStream","id":"d1","request":[]}`)
		require.NoError(t, c.Close())
	})
}

func TestClientSaysWhatItKnows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := readyClient(t, ClientOptions{})
		require.Equal(t, "c1", c.ID())
		require.Empty(t, c.Group())
		require.Nil(t, c.Status())
		require.Empty(t, c.Users())
		require.Nil(t, c.User("c1"))
		configuration, err := c.RTCConfiguration()
		require.NoError(t, err)
		require.Equal(t, new(RTCConfiguration), configuration)

		p.Answer(clientJoin, `{"type":"joined","kind":"join","group":"g","username":"given","permissions":["message"],`+
			`"status":{"name":"g","clientCount":2,"locked":true},"data":{"a":1},"rtcConfiguration":{"iceServers":[{"urls":["stun:192.0.2.1"]}]}}`,
			`{"type":"user","kind":"add","id":"c1","username":"given"}`,
			`{"type":"user","kind":"add","id":"b","username":"bob"}`)
		_, err = c.Join(t.Context(), &Join{Group: "g", Username: new("u")})
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, ClientJoined, c.State())
		require.Equal(t, "g", c.Group())
		require.Equal(t, "given", c.Username())
		require.Equal(t, Permissions{PermissionMessage}, c.Permissions())
		require.True(t, c.Status().Locked)
		require.JSONEq(t, `1`, string(c.Data()["a"]))
		require.Len(t, c.Users(), 2)
		require.Equal(t, []string{"b", "c1"}, []string{c.Users()[0].ID, c.Users()[1].ID}, "in the order of their ids")
		require.Equal(t, "bob", *c.User("b").Username)
		configuration, err = c.RTCConfiguration()
		require.NoError(t, err)
		require.Equal(t, []string{"stun:192.0.2.1"}, configuration.ICEServers[0].URLs)
		stats := c.Stats()
		require.EqualValues(t, 4, stats.MessagesRead)
		require.EqualValues(t, 2, stats.MessagesWritten)
		require.EqualValues(t, len(clientHandshake)+len(clientJoin), stats.BytesWritten)

		p.Say(`{"type":"joined","kind":"change","group":"g","username":"given","status":{"name":"g"},"rtcConfiguration":{}}`)
		synctest.Wait()
		require.Empty(t, c.Permissions())
		require.False(t, c.Status().Locked)
		configuration, err = c.RTCConfiguration()
		require.NoError(t, err)
		require.Empty(t, configuration.ICEServers, "the newest one counts")
		require.NoError(t, c.Close())
		p.Closed(transport.StatusNormal)
		require.NoError(t, c.Close())
		require.ErrorIs(t, c.Chat("x"), transport.ErrClosed)
		_, err = c.Join(t.Context(), &Join{Group: "g", Username: new("u")})
		require.ErrorIs(t, err, transport.ErrClosed)
	})
}

func TestClientGetsItsTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, ClientOptions{})
		sign := `,"source":"c1","username":"u","value":`
		token := `{"type":"usermessage","kind":"token","privileged":true,"value":{"token":"T","group":"g","permissions":null,"expires":"2000-01-01T01:00:00Z"}}`
		p.Answer(`{"type":"groupaction","kind":"maketoken"`+sign+`{"group":"g","permissions":["message"],"expires":3600000}}`, token)
		made, err := c.MakeToken(t.Context(), &TokenRequest{Permissions: Permissions{PermissionMessage},
			Expires: TokenTime{In: time.Hour}})
		require.NoError(t, err)
		require.Equal(t, "T", made.Token)

		p.Answer(`{"type":"groupaction","kind":"edittoken"`+sign+`{"token":"T","expires":-1}}`,
			`{"type":"usermessage","kind":"token","privileged":true,"error":"not-authorised","value":"not authorised"}`)
		_, err = c.EditToken(t.Context(), &TokenRequest{Token: "T", Expires: TokenTime{In: -time.Millisecond}})
		require.ErrorIs(t, err, ErrNotAuthorised)
		refusal, ok := errors.AsType[*Error](err)
		require.True(t, ok)
		require.Equal(t, ErrorNotAuthorised, refusal.ID)

		p.Answer(`{"type":"groupaction","kind":"listtokens","source":"c1","username":"u"}`,
			`{"type":"usermessage","kind":"tokenlist","privileged":true,"value":[{"token":"T","group":"g","permissions":[]}]}`)
		list, err := c.ListTokens(t.Context())
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, "T", list[0].Token)

		p.Answer(`{"type":"useraction","kind":"identify","source":"c1","dest":"b","username":"u"}`,
			`{"type":"usermessage","kind":"userinfo","privileged":true,"value":{"id":"b","username":"bob","address":"192.0.2.1:7"}}`)
		info, err := c.Identify(t.Context(), "b")
		require.NoError(t, err)
		require.Equal(t, &UserInfo{ID: "b", Username: "bob", Address: "192.0.2.1:7"}, info)
		p.Answer(`{"type":"useraction","kind":"identify","source":"c1","dest":"x","username":"u"}`,
			`{"type":"usermessage","kind":"error","dest":"c1","privileged":true,"value":"client not found"}`)
		_, err = c.Identify(t.Context(), "x")
		require.ErrorIs(t, err, &Error{Text: "client not found"})
		require.NoError(t, c.Close())
	})
}

func TestAnswerThatNobodyWaitsForComesWithNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, ClientOptions{})
		token := `{"type":"usermessage","kind":"token","privileged":true,"value":{"token":"T","group":"g","permissions":null}}`
		require.NoError(t, c.Send(&GroupAction{Kind: GroupMakeToken, Value: json.RawMessage(`{"group":"g","expires":1}`)}))
		p.Hear(`{"type":"groupaction","kind":"maketoken","source":"c1","username":"u","value":{"group":"g","expires":1}}`).Say(token)
		clientHears(t, c, token)

		ctx, cancel := context.WithCancel(t.Context())
		given := make(chan error, 1)
		go func() {
			_, err := c.MakeToken(ctx, &TokenRequest{Expires: TokenTime{In: time.Second}})
			given <- err
		}()
		p.Hear(`{"type":"groupaction","kind":"maketoken","source":"c1","username":"u","value":{"group":"g","expires":1000}}`)
		cancel()
		require.Equal(t, context.Canceled, <-given)
		p.Say(token)
		clientHears(t, c, token)
		require.NoError(t, c.Close())
	})
}

func TestTooManyActionsAreRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, ClientOptions{})
		p.Drain()
		for range DefaultPending {
			require.NoError(t, c.Send(&GroupAction{Kind: GroupListTokens}))
		}
		_, err := c.ListTokens(t.Context())
		require.Equal(t, ErrTooManyCalls, err)
		require.NoError(t, c.Chat("x"), "which has no answer")
		require.NoError(t, c.Close())
	})
}

func TestConnectSaysWhyItFailed(t *testing.T) {
	t.Parallel()
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	decode := func(err error) bool { _, ok := errors.AsType[*DecodeError](err); return ok }
	frame := func(typ transport.MessageType, data string) func(*script.Line, func()) {
		return func(p *script.Line, _ func()) { _ = p.Write(typ, []byte(data)) }
	}
	closedWith := func(code transport.StatusCode) func(error) bool {
		return func(err error) bool {
			e, ok := errors.AsType[*transport.CloseError](err)
			return ok && e.Code == code
		}
	}
	for name, tt := range map[string]struct {
		do   func(p *script.Line, cancel func())
		want func(err error) bool
		code transport.StatusCode // that the server gets; 0 when it closed
	}{
		"silence":          {func(*script.Line, func()) {}, is(ErrHandshakeTimeout), 1008},
		"another message":  {frame(transport.Text, peerPing), is(ErrVersion), 1002},
		"another version":  {frame(transport.Text, `{"type":"handshake","version":["99"]}`), is(ErrVersion), 1002},
		"an older version": {frame(transport.Text, `{"type":"handshake","version":["1"]}`), is(ErrVersion), 1002},
		"no version":       {frame(transport.Text, `{"type":"handshake"}`), is(ErrVersion), 1002},
		"garbage":          {frame(transport.Text, `garbage`), decode, 1007},
		"garbage, binary":  {frame(transport.Binary, "\x00\x01"), decode, 1007},
		"not UTF-8":        {frame(transport.Text, "{\"type\":\"\xff\"}"), decode, 1007},
		"too big": {frame(transport.Text, `{"type":"x","x":"`+strings.Repeat("x", 2*DefaultMessageBytes)+`"}`),
			decode, 1009},
		"a close": {func(p *script.Line, _ func()) { _ = p.Close(1002, "you must handshake first") },
			closedWith(1002), 0},
		"a close with a reason": {func(p *script.Line, _ func()) { _ = p.Close(1000, "no") }, is(&Error{Text: "no"}), 0},
		"an orderly close":      {func(p *script.Line, _ func()) { _ = p.Close(1000, "") }, closedWith(1000), 0},
		"a cut":                 {func(p *script.Line, _ func()) { _ = p.Close(1006, "") }, closedWith(1006), 0},
		"the caller":            {func(_ *script.Line, cancel func()) { cancel() }, is(context.Canceled), 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				begin := time.Now()
				p, result := clientConnects(t, ctx, ClientOptions{
					Redial: func(context.Context) (transport.Conn, error) { panic("connects again before it was connected") },
				})
				p.Hear(clientHandshake)
				tt.do(p, cancel)
				got := <-result
				require.Nil(t, got.client)
				require.True(t, tt.want(got.err), "%v", got.err)
				require.ErrorContains(t, got.err, "galene: connect: ")
				if tt.code == 1008 {
					require.Equal(t, DefaultHandshakeTimeout, time.Since(begin))
				}
				if tt.code != 0 {
					p.Closed(tt.code)
				}
			})
		})
	}
}

func TestConnectToAServerThatDoesNotReadFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, result := clientConnects(t, t.Context(), ClientOptions{})
		require.ErrorIs(t, (<-result).err, ErrSlowPeer)
	})
}

func TestClientReadsABinaryMessageAsAText(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, ClientOptions{})
		require.NoError(t, p.Write(transport.Binary, []byte(peerChat)))
		clientHears(t, c, peerChat)
		require.NoError(t, c.Close())
	})
}

func TestReadersShareWhatArrives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, ClientOptions{})
		heard := make(chan string, 100)
		var readers sync.WaitGroup
		for range 2 {
			readers.Go(func() {
				for {
					m, err := c.Next(t.Context())
					if err != nil {
						heard <- err.Error()
						return
					}
					text, _ := Text(m.(*Chat).Value)
					heard <- text
				}
			})
		}
		want := []string{"EOF", "EOF"}
		for n := range 50 {
			want = append(want, fmt.Sprint(n))
			p.Say(fmt.Sprintf(`{"type":"chat","value":"%d"}`, n))
		}
		synctest.Wait()
		require.NoError(t, c.Close())
		readers.Wait()
		close(heard)
		var got []string
		for text := range heard {
			got = append(got, text)
		}
		require.ElementsMatch(t, want, got, "each of them once, and the end for each reader")
	})
}

func TestManyGoroutinesUseOneClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, ClientOptions{})
		counts := make(map[string]int)
		all := make(chan struct{})
		go func() {
			defer close(all)
			for range 200 {
				_, data, err := p.Read(nil)
				if err != nil {
					t.Error(err)
					return
				}
				m, err := Decode(data)
				if err != nil {
					t.Error(err)
					return
				}
				text, _ := Text(m.(*Chat).Value)
				counts[text]++
			}
		}()
		var group sync.WaitGroup
		for worker := range 10 {
			group.Go(func() {
				for range 20 {
					if err := c.Chat(fmt.Sprint(worker)); err != nil {
						t.Error(err)
					}
					_, _, _ = c.Users(), c.State(), c.Stats()
				}
			})
		}
		group.Wait()
		<-all
		require.Len(t, counts, 10)
		for worker, n := range counts {
			require.Equal(t, 20, n, worker)
		}
		require.NoError(t, c.Close())
	})
}
