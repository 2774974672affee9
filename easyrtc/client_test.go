package easyrtc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	peerConnect = `0{"sid":"x"}`
	peerOffer   = `27["easyrtcCmd",{"msgType":"offer","senderEasyrtcid":"bob","msgData":{"type":"offer","sdp":"v=0"},"easyrtcid":"me","serverTime":5}]`
	saidLogin   = `20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1.1.1-beta"}}]`
	plainAck    = `[{"msgType":"ack"}]`
	badRoom     = `[{"msgType":"error","serverTime":5,"msgData":{"errorCode":"MSG_REJECT_BAD_ROOM","errorText":"no"}}]`
)

// clientConnected is what Connect returns.
type clientConnected struct {
	client *Client
	err    error
}

// clientConnects starts Connect over a pipe.
func clientConnects(t *testing.T, ctx context.Context, opts *ClientOptions) (*script.Line, <-chan clientConnected) {
	near, far := transport.Pipe()
	result := make(chan clientConnected, 1)
	go func() {
		c, err := Connect(ctx, near, opts)
		result <- clientConnected{c, err}
	}()
	return &script.Line{Conn: far, TB: t}, result
}

// connectedClient returns a client that has not logged in, and the server's end.
func connectedClient(t *testing.T, opts *ClientOptions) (*Client, *script.Line) {
	t.Helper()
	p, result := clientConnects(t, t.Context(), opts)
	p.Hear("0").Say(peerConnect)
	got := <-result
	require.NoError(t, got.err)
	require.Equal(t, ClientConnected, got.client.State())
	return got.client, p
}

// readyClient returns a client that has logged in as me, and the server's end.
func readyClient(t *testing.T, opts *ClientOptions) (*Client, *script.Line) {
	t.Helper()
	c, p := connectedClient(t, opts)
	p.Answers(saidLogin, "30"+clientToken)
	token, err := c.Login(t.Context(), &Login{})
	require.NoError(t, err)
	require.Equal(t, "me", token.EasyrtcID)
	require.Equal(t, ClientReady, c.State())
	return c, p
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
		c, p := readyClient(t, nil)
		ctx := t.Context()
		rooms := func(name, rest string) string {
			return `[{"msgType":"roomData","msgData":{"roomData":{"` + name + `":{"roomName":"` + name + `",` + rest + `}}}}]`
		}
		for i, tt := range []struct {
			said, answer string
			do           func() error
		}{
			{`["easyrtcCmd",{"msgType":"roomJoin","msgData":{"roomJoin":{"r":{"roomName":"r","roomParameter":{"k":1}}}}}]`,
				rooms("r", `"roomStatus":"join","clientList":{"me":{"easyrtcid":"me"}}`), func() error {
					room, err := c.JoinRoom(ctx, "r", json.RawMessage(`{"k":1}`))
					require.Contains(t, room.ClientList, "me")
					return err
				}},
			{`["easyrtcCmd",{"msgType":"roomLeave","msgData":{"roomLeave":{"r":{"roomName":"r"}}}}]`,
				rooms("r", `"roomStatus":"leave"`), func() error { return c.LeaveRoom(ctx, "r") }},
			{`["easyrtcCmd",{"msgType":"getRoomList"}]`,
				`[{"msgType":"roomList","msgData":{"roomList":{"r":{"roomName":"r","numberClients":7}}}}]`, func() error {
					list, err := c.RoomList(ctx)
					require.Equal(t, map[string]ListedRoom{"r": {RoomName: "r", NumberClients: 7}}, list)
					return err
				}},
			{`["easyrtcCmd",{"msgType":"getIceConfig","msgData":{}}]`,
				`[{"msgType":"iceConfig","msgData":{"iceConfig":{"iceServers":[{"urls":"stun:192.0.2.1"}]}}}]`, func() error {
					servers, err := c.RefreshICE(ctx)
					require.Equal(t, []string{"stun:192.0.2.1"}, servers[0].Addresses())
					require.Equal(t, servers, c.ICEServers())
					return err
				}},
			{`["easyrtcCmd",{"msgType":"setRoomApiField","msgData":{"setRoomApiField":{"roomName":"default",` +
				`"field":{"k":{"fieldName":"k","fieldValue":[1]}}}}}]`,
				rooms("default", `"roomStatus":"update","clientListDelta":{"updateClient":{"me":{"easyrtcid":"me","apiField":{"k":1}}}}`),
				func() error {
					fields := FieldMap{}
					fields.Set("k", json.RawMessage("[1]"))
					return c.SetAPIField(ctx, "default", fields)
				}},
			{`["easyrtcCmd",{"msgType":"setRoomApiField","msgData":{"setRoomApiField":{"roomName":"default","field":{}}}}]`,
				rooms("default", `"roomStatus":"update"`), func() error { return c.SetAPIField(ctx, "default", nil) }},
			{`["easyrtcCmd",{"msgType":"setPresence","msgData":{"setPresence":{"show":"away","status":""}}}]`,
				`[{"msgType":"roomData","msgData":{"roomData":{}}}]`, func() error { return c.SetPresence(ctx, ShowAway, "") }},
			{`["easyrtcMsg",{"msgType":"m","targetEasyrtcid":"bob","msgData":null}]`, plainAck,
				func() error { return c.SendTo(ctx, "bob", "m", json.RawMessage("null")) }},
			{`["easyrtcMsg",{"msgType":"","targetRoom":"default"}]`, plainAck,
				func() error { return c.SendToRoom(ctx, "default", "", nil) }},
			{`["easyrtcMsg",{"msgType":"m","msgData":1}]`, `[{"msgType":"answer","msgData":2}]`, func() error {
				m, err := c.SendToServer(ctx, "m", json.RawMessage("1"))
				require.Equal(t, "answer", m.(*Msg).MsgType)
				require.JSONEq(t, "2", string(m.(*Msg).MsgData))
				return err
			}},
			{`["easyrtcCmd",{"msgType":"setUserCfg","msgData":{"setUserCfg":{"userSettings":{"a":1}}}}]`, plainAck, func() error {
				_, err := c.Call(ctx, &SetUserCfg{MsgData: &SetUserCfgData{SetUserCfg: &UserCfg{UserSettings: json.RawMessage(`{"a":1}`)}}})
				return err
			}},
			{`["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1.1.1-beta","applicationName":"a","easyrtcsid":"s",` +
				`"username":"u","credential":{"p":1},"setPresence":{"show":"dnd"},"roomJoin":{"x":{"roomName":"x"}}}}]`,
				clientToken, func() error {
					show := ShowDND
					_, err := c.Login(ctx, &Login{Application: "a", Username: "u", Credential: json.RawMessage(`{"p":1}`), SessionID: "s",
						Presence: &PresenceUpdate{Show: &show}, Rooms: []string{"x"}})
					return err
				}},
		} {
			p.Answers(fmt.Sprint("2", i+1, tt.said), fmt.Sprint("3", i+1, tt.answer))
			require.NoError(t, tt.do(), tt.said)
		}
		require.NoError(t, c.Send(&Unknown{Event: "novelty", Args: []json.RawMessage{json.RawMessage("1")}}))
		p.Hear(`213["novelty",1]`)
		for _, err := range []error{
			c.SetAPIField(ctx, "default", FieldMap{"k": {FieldValue: json.RawMessage("{")}}),
			c.LeaveRoom(ctx, "not a room"), c.SendTo(ctx, "not an id", "m", nil), c.Send(&Offer{TargetEasyrtcID: "bob"}),
		} {
			_, ok := errors.AsType[*ValidationError](err)
			require.True(t, ok, "%v", err)
		}
		p.Drain()
		require.NoError(t, c.Close())
	})
}

func TestClientSaysWhatItKnows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := connectedClient(t, nil)
		require.Nil(t, c.Token())
		require.Empty(t, c.EasyrtcID())
		require.Empty(t, c.Rooms())
		require.Empty(t, c.Occupants("default"))
		require.Empty(t, c.ICEServers())

		p.Answers(saidLogin, "30"+clientToken)
		_, err := c.Login(t.Context(), &Login{})
		require.NoError(t, err)
		require.Equal(t, "me", c.EasyrtcID())
		require.Equal(t, "default", c.Token().Application.ApplicationName)
		require.Contains(t, c.Rooms(), "default")
		require.Contains(t, c.Occupants("default"), "me")
		require.Empty(t, c.Occupants("elsewhere"))
		stats := c.Stats()
		require.EqualValues(t, 2, stats.MessagesRead)
		require.EqualValues(t, 2, stats.MessagesWritten)
		require.EqualValues(t, len("0")+len(saidLogin), stats.BytesWritten)
		require.EqualValues(t, len(peerConnect)+len("30"+clientToken), stats.BytesRead)

		found := make(chan *Occupant, 1)
		go func() {
			o, err := c.AwaitOccupant(t.Context(), "default", func(o *Occupant) bool { return o.Username != nil && *o.Username == "bob" })
			if err != nil {
				t.Error(err)
			}
			found <- o
		}()
		delta := `["easyrtcCmd",{"msgType":"roomData","msgData":{"roomData":{"default":{"roomName":"default","roomStatus":"update",` +
			`"clientListDelta":{"updateClient":{"b":{"easyrtcid":"b"%s}}}}}}}]`
		p.Say("20" + fmt.Sprintf(delta, "")).Hear("30" + plainAck).
			Say("21" + fmt.Sprintf(delta, `,"username":"bob"`)).Hear("31" + plainAck)
		require.Equal(t, "b", (<-found).EasyrtcID)
		o, err := c.AwaitOccupant(t.Context(), "default", func(o *Occupant) bool { return o.EasyrtcID == "me" })
		require.NoError(t, err, "who is there already is found at once")
		require.Equal(t, "me", o.EasyrtcID)
		p.Drain()
		require.NoError(t, c.Close())
		_, err = c.AwaitOccupant(t.Context(), "default", func(*Occupant) bool { return false })
		require.Equal(t, io.EOF, err)
		require.ErrorIs(t, c.Send(&GetRoomList{}), transport.ErrClosed)
		_, err = c.RoomList(t.Context())
		require.ErrorIs(t, err, transport.ErrClosed)
	})
}

func TestRefusalsAreErrorsOfTheirCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := readyClient(t, nil)
		ctx, n := t.Context(), 0
		empty := `[{"msgType":"roomData","msgData":{"roomData":{}}}]`
		for _, tt := range []struct {
			do     func() error
			answer string
			want   error
		}{
			{func() error { _, err := c.JoinRoom(ctx, "r", nil); return err }, badRoom, ErrBadRoom},
			{func() error { _, err := c.JoinRoom(ctx, "r", nil); return err }, empty, ErrUnexpectedReply},
			{func() error { _, err := c.JoinRoom(ctx, "r", nil); return err }, plainAck, ErrUnexpectedReply},
			{func() error { return c.LeaveRoom(ctx, "r") }, badRoom, ErrBadRoom},
			{func() error { _, err := c.RoomList(ctx); return err }, badRoom, ErrBadRoom},
			{func() error { _, err := c.RoomList(ctx); return err }, `[{"msgType":"roomList"}]`, ErrUnexpectedReply},
			{func() error { _, err := c.RefreshICE(ctx); return err }, badRoom, ErrBadRoom},
			{func() error { _, err := c.RefreshICE(ctx); return err }, plainAck, ErrUnexpectedReply},
			{func() error { return c.SetAPIField(ctx, "r", nil) }, badRoom, ErrBadRoom},
			{func() error { return c.SetPresence(ctx, ShowChat, "") }, badRoom, ErrBadRoom},
			{func() error { return c.SendTo(ctx, "bob", "m", nil) }, badRoom, ErrBadRoom},
			{func() error { return c.SendToRoom(ctx, "r", "m", nil) }, badRoom, ErrBadRoom},
			{func() error { _, err := c.SendToServer(ctx, "m", nil); return err }, badRoom, ErrBadRoom},
		} {
			n++
			done := make(chan error, 1)
			go func() { done <- tt.do() }()
			_, _, err := p.Read(nil)
			require.NoError(t, err)
			p.Say(fmt.Sprint("3", n, tt.answer))
			err = <-done
			require.ErrorIs(t, err, tt.want)
			if e, ok := errors.AsType[*Error](err); ok {
				require.Equal(t, "no", e.ErrorText, "what the server says")
			}
		}
		require.Equal(t, ClientReady, c.State())
		p.Drain()
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
	for name, tt := range map[string]struct {
		do    func(p *script.Line, cancel func())
		want  func(error) bool
		after time.Duration
	}{
		"the context ends":             {do: func(_ *script.Line, cancel func()) { cancel() }, want: is(context.Canceled)},
		"nothing comes":                {do: func(*script.Line, func()) {}, want: is(ErrHandshakeTimeout), after: DefaultHandshakeTimeout},
		"the namespace is refused":     {do: frame(transport.Text, `4{"message":"no"}`), want: is(ErrNamespace)},
		"the server closes in order":   {do: func(p *script.Line, _ func()) { _ = p.Close(transport.StatusNormal, "") }, want: func(err error) bool { return err != io.EOF }},
		"garbage comes":                {do: frame(transport.Text, "hello"), want: decode},
		"a binary message comes":       {do: frame(transport.Binary, "0"), want: decode},
		"something too big comes":      {do: frame(transport.Text, `0{"x":"`+strings.Repeat("x", 2*DefaultMessageBytes)+`"}`), want: decode},
		"the connection breaks inside": {do: func(p *script.Line, _ func()) { _ = p.Close(transport.StatusAbnormal, "") }, want: func(err error) bool { return transport.StatusAbnormal == codeOfClose(err) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				redialed := false
				p, result := clientConnects(t, ctx, &ClientOptions{Redial: func(context.Context) (transport.Conn, error) {
					redialed = true
					return nil, errors.New("nowhere")
				}})
				p.Hear("0")
				begin := time.Now()
				tt.do(p, cancel)
				p.Drain()
				got := <-result
				require.Nil(t, got.client)
				require.True(t, tt.want(got.err), "%v", got.err)
				require.True(t, strings.HasPrefix(got.err.Error(), "easyrtc: connect: "), got.err)
				require.Equal(t, tt.after, time.Since(begin))
				synctest.Wait()
				require.False(t, redialed, "a connection that never was is not replaced")
			})
		})
	}
}

func codeOfClose(err error) transport.StatusCode {
	closed, _ := errors.AsType[*transport.CloseError](err)
	if closed == nil {
		return 0
	}
	return closed.Code
}

func TestLoginThatFailsEndsTheClient(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answers []string
		want    error
	}{
		"refused":           {[]string{`30[{"msgType":"error","serverTime":5,"msgData":{"errorCode":"LOGIN_BAD_AUTH","errorText":"no"}}]`, "1"}, ErrLoginBadAuth},
		"thrown out":        {[]string{"1"}, ErrDisconnected},
		"something else":    {[]string{"30" + plainAck}, ErrUnexpectedReply},
		"a code of its own": {[]string{`30[{"msgType":"error","serverTime":5,"msgData":{"errorCode":"MINE","errorText":"no"}}]`}, &Error{ErrorCode: "MINE"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, p := connectedClient(t, nil)
				done := make(chan error, 1)
				go func() {
					_, err := c.Login(t.Context(), &Login{})
					done <- err
				}()
				p.Hear(saidLogin)
				for _, a := range tt.answers {
					_ = p.Write(transport.Text, []byte(a)) // the client may have gone after the first
				}
				p.Drain()
				if err := <-done; tt.want == ErrDisconnected {
					require.ErrorIs(t, err, ErrConnectionLost)
				} else {
					require.ErrorIs(t, err, tt.want)
				}
				requireClientEnds(t, c, tt.want)
				require.NoError(t, c.Close())
			})
		})
	}
}

func TestEndOfAContextDoesNotHurtTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := readyClient(t, nil)
		for name, wait := range map[string]func(ctx context.Context) error{
			"Next":          func(ctx context.Context) error { _, err := c.Next(ctx); return err },
			"Call":          func(ctx context.Context) error { _, err := c.RoomList(ctx); return err },
			"AwaitOccupant": func(ctx context.Context) error { _, err := c.AwaitOccupant(ctx, "x", nil); return err },
			"Messages": func(ctx context.Context) (err error) {
				for _, err = range c.Messages(ctx) {
				}
				return err
			},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- wait(ctx) }()
			if name == "Call" {
				p.Hear(`21["easyrtcCmd",{"msgType":"getRoomList"}]`)
			}
			synctest.Wait()
			cancel()
			require.ErrorIs(t, <-done, context.Canceled, name)
		}
		require.Zero(t, c.calls.Len())
		p.Say(`31[{"msgType":"roomList","msgData":{"roomList":{}}}]`, peerOffer).Hear("37" + plainAck)
		m, err := c.Next(t.Context())
		require.NoError(t, err, "the late answer is nobody's")
		require.IsType(t, new(Offer), m)
		p.Drain()
		require.NoError(t, c.Close())
	})
}

func TestApplicationThatDoesNotReadEndsTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := readyClient(t, &ClientOptions{Inbox: 2})
		for range 2 {
			p.Say(peerOffer).Hear("37" + plainAck)
		}
		p.Say(peerOffer)
		p.Hear("37" + plainAck)
		p.Closed(transport.StatusPolicyViolation)
		<-c.Done()
		require.ErrorIs(t, c.Err(), ErrSlowConsumer)
		for range 2 {
			_, err := c.Next(t.Context())
			require.NoError(t, err, "what was there is there")
		}
		requireClientEnds(t, c, ErrSlowConsumer)
	})
}

func TestServerThatDoesNotReadEndsTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := readyClient(t, &ClientOptions{QueueMessages: 4})
		var err error
		for range 10 {
			if err = c.Send(&Hangup{TargetEasyrtcID: "bob"}); err != nil {
				break
			}
			synctest.Wait()
		}
		require.ErrorIs(t, err, ErrSlowPeer)
		p.Drain()
		requireClientEnds(t, c, ErrSlowPeer)
	})
}

func TestWhatIsNoMessageEndsTheClient(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]struct {
		typ  transport.MessageType
		data string
	}{
		"garbage":                  {transport.Text, "hello"},
		"nothing":                  {transport.Text, ""},
		"duplicate members":        {transport.Text, `2["easyrtcCmd",{"msgType":"m","a":1,"a":2}]`},
		"invalid UTF-8":            {transport.Text, "2[\"easyrtcCmd\",{\"msgType\":\"\xff\"}]"},
		"an unannounced binary":    {transport.Binary, "x"},
		"too deep":                 {transport.Text, `2["easyrtcMsg",{"msgType":"m","msgData":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}]`},
		"too big":                  {transport.Text, `2["easyrtcMsg",{"msgType":"m","msgData":"` + strings.Repeat("x", 3000) + `"}]`},
		"an id beyond 15 digits":   {transport.Text, `21234567890123456["easyrtcMsg",{"msgType":"m"}]`},
		"an attachment too many":   {transport.Text, `511-["easyrtcMsg",{"msgType":"m"}]`},
		"a reserved name of event": {transport.Text, `2["disconnect"]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, p := readyClient(t, &ClientOptions{MessageBytes: 2000})
				require.NoError(t, p.Write(m.typ, []byte(m.data)))
				p.Closed(transport.StatusNoStatus)
				<-c.Done()
				_, ok := errors.AsType[*DecodeError](c.Err())
				require.True(t, ok, "%v", c.Err())
				requireClientForgets(t, c.machine)
			})
		})
	}
}

func TestCloseSaysGoodbyeInEveryState(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(t *testing.T) (*Client, *script.Line){
		"connected": func(t *testing.T) (*Client, *script.Line) { return connectedClient(t, nil) },
		"authenticating": func(t *testing.T) (*Client, *script.Line) {
			c, p := connectedClient(t, nil)
			require.NoError(t, c.Send((&Login{}).Message()))
			return c, p.Hear(saidLogin)
		},
		"ready": func(t *testing.T) (*Client, *script.Line) { return readyClient(t, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, p := begin(t)
				var waiting sync.WaitGroup
				waiting.Go(func() {
					if _, err := c.Next(t.Context()); err != io.EOF {
						t.Errorf("Next: %v", err)
					}
				})
				synctest.Wait()
				done := make(chan struct{})
				go func() {
					_ = c.Close()
					close(done)
				}()
				p.Hear("1").Closed(transport.StatusNormal)
				<-done
				waiting.Wait()
				requireClientEnds(t, c, nil)
				require.Equal(t, ClientIdle, c.State())
				require.NoError(t, c.Close(), "again")
			})
		})
	}
}

func TestAServerOfEngineIO3IsNotedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := transport.Pipe()
		go func() {
			_ = far.Write(transport.Text, []byte("0")) // unasked, and without a sid
			_, _, _ = far.Read(nil)
			_, _, _ = far.Read(nil)
		}()
		_, err := Connect(t.Context(), near, nil)
		require.ErrorIs(t, err, ErrVersion)
	})
}
