package galene

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

func TestServerThatSendsAwayIsNotCalledAgain(t *testing.T) {
	t.Parallel()
	type ending struct {
		before []string // what the server says
		code   transport.StatusCode
		reason string
		want   error // nil: the client connects again
	}
	kicked := `{"type":"usermessage","kind":"kicked","id":"b","username":"bob","privileged":true,"value":"enough"}`
	stopping := `{"type":"usermessage","kind":"kicked","dest":"c1","privileged":true,"value":"server is shutting down"}`
	fault := `{"type":"usermessage","kind":"error","dest":"c1","privileged":true,"value":"unknown user action"}`
	for name, tt := range map[string]ending{
		"kicked":                  {[]string{kicked}, 1000, "kicked out (enough) by bob", &KickedError{"b", "bob", "enough"}},
		"kicked and cut":          {[]string{kicked}, 1006, "", &KickedError{"b", "bob", "enough"}},
		"kicked and going away":   {[]string{kicked}, 1001, "", &KickedError{"b", "bob", "enough"}},
		"kicked by an old server": {nil, 1000, "kicked out(enough) by bob", &Error{Text: "kicked out(enough) by bob"}},
		"a user's error":          {[]string{fault}, 1000, "unknown user action", &Error{Text: "unknown user action"}},
		"a protocol error": {nil, 1002, "spoofed client id",
			&transport.CloseError{Code: 1002, Reason: "spoofed client id"}},
		"without a reason":         {nil, 1000, "", nil},
		"1002 without a reason":    {nil, 1002, "", nil},
		"going away":               {nil, 1001, "", nil},
		"going away with a reason": {nil, 1001, "server is shutting down", nil},
		"cut":                      {nil, 1006, "", nil},
		"the server stops":         {[]string{stopping}, 1000, "kicked out (server is shutting down)", nil},
		"idle or a fault":          {nil, 1011, "", nil},
		"too big":                  {nil, 1009, "", nil},
		"too slow":                 {nil, 1013, "too slow", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := script.NewDialer(t, true)
				c, p := joinedClient(t, ClientOptions{Redial: d.Dial})
				p.Say(tt.before...)
				require.NoError(t, p.Close(tt.code, tt.reason))
				clientHears(t, c, tt.before...)
				if tt.want == nil {
					p = (<-d.Lines).Hear(`{"type":"handshake","version":["2"],"id":"c2"}`).Say(peerHandshake)
					p.Hear(clientJoin).Say(peerJoined)
					clientHears(t, c, `{"type":"reconnected"}`, peerJoined)
					require.Equal(t, "c2", c.ID())
					require.NoError(t, c.Close())
					return
				}
				<-c.Done()
				require.Equal(t, tt.want, c.Err())
				_, err := c.Next(t.Context())
				require.Equal(t, tt.want, err)
				require.Equal(t, tt.want, c.Chat("x"))
				require.Empty(t, d.Lines)
				requireClientForgets(t, c.machine)
			})
		})
	}
}

func TestEndWithoutANewConnectionSaysWhy(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		code   transport.StatusCode
		reason string
		want   error
	}{
		{1000, "", nil},
		{1001, "", nil},
		{1000, "you are not joined", &Error{Text: "you are not joined"}},
		{1002, "spoofed username", &transport.CloseError{Code: 1002, Reason: "spoofed username"}},
		{1006, "", &transport.CloseError{Code: 1006}},
		{1011, "", &transport.CloseError{Code: 1011}},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, p := joinedClient(t, ClientOptions{})
			require.NoError(t, p.Close(tt.code, tt.reason))
			<-c.Done()
			require.Equal(t, tt.want, c.Err())
			_, err := c.Next(t.Context())
			if tt.want != nil {
				require.Equal(t, tt.want, err)
			}
			require.Error(t, err)
		})
	}
}

func TestRejoinSaysWhatToJoinWith(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := script.NewDialer(t, true)
		var last []*Join
		answers := []*Join{
			{Group: "g", Token: "fresh"}, // of no kind
			nil,                          // as before
			{Kind: JoinLeave, Group: "g", Token: "fresher"},
		}
		c, p := joinedClient(t, ClientOptions{Redial: d.Dial, Rejoin: func(_ context.Context, join *Join) (*Join, error) {
			last = append(last, join)
			return answers[len(last)-1], nil
		}})
		require.NoError(t, c.Request(map[string][]TrackKind{"": {TrackAudio}}))
		p.Hear(`{"type":"request","request":{"":["audio"]}}`)
		for _, want := range []string{
			`{"type":"join","kind":"join","token":"fresh","group":"g"}`,
			`{"type":"join","kind":"join","token":"fresh","group":"g"}`,
			`{"type":"join","kind":"join","token":"fresher","group":"g"}`,
		} {
			require.NoError(t, p.Close(1006, ""))
			p = <-d.Lines
			_, _, err := p.Read(nil)
			require.NoError(t, err)
			p.Say(peerHandshake).Hear(want).Say(peerJoined).Hear(`{"type":"request","request":{"":["audio"]}}`)
			clientHears(t, c, `{"type":"reconnected"}`, peerJoined)
		}
		require.Equal(t, &Join{Kind: JoinJoin, Group: "g", Username: new("u")}, last[0])
		require.Equal(t, &Join{Kind: JoinJoin, Group: "g", Token: "fresh"}, last[1])
		require.NoError(t, c.Close())
	})
}

func TestCallsAreNotRepeatedOnANewConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := script.NewDialer(t, true)
		c, p := joinedClient(t, ClientOptions{Redial: d.Dial})
		results := make(chan error, 2)
		go func() { _, err := c.ListTokens(t.Context()); results <- err }()
		p.Hear(`{"type":"groupaction","kind":"listtokens","source":"c1","username":"u"}`)
		go func() { results <- c.Leave(t.Context()) }()
		p.Hear(`{"type":"join","kind":"leave","group":"g"}`)
		require.NoError(t, p.Close(1006, ""))
		require.Equal(t, ErrConnectionLost, <-results)
		require.Equal(t, ErrConnectionLost, <-results)
		p = (<-d.Lines).Hear(`{"type":"handshake","version":["2"],"id":"c2"}`).Say(peerHandshake)
		clientHears(t, c, `{"type":"reconnected"}`)
		p.Say(peerPing).Hear(`{"type":"pong"}`) // and nothing before
		require.NoError(t, c.Close())
	})
}

func TestRejoinIsNotAskedInNoGroup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := script.NewDialer(t, true)
		c, p := readyClient(t, ClientOptions{Redial: d.Dial, Rejoin: func(context.Context, *Join) (*Join, error) {
			panic("asks for a join of nothing")
		}})
		require.NoError(t, p.Close(1006, ""))
		(<-d.Lines).Hear(`{"type":"handshake","version":["2"],"id":"c2"}`).Say(peerHandshake)
		clientHears(t, c, `{"type":"reconnected"}`)
		require.Equal(t, ClientReady, c.State())
		require.NoError(t, c.Close())
	})
}

func TestClientGivesUpAfterItsAttempts(t *testing.T) {
	t.Parallel()
	down := errors.New("network is down")
	noDial := func(context.Context) (transport.Conn, error) { panic("dials without a join") }
	noJoin := func(context.Context, *Join) (*Join, error) { return nil, down }
	badJoin := func(context.Context, *Join) (*Join, error) { return &Join{}, nil }
	invalidJoin := new(ValidationError)
	for name, tt := range map[string]struct {
		opts ClientOptions
		want func(err error) bool
	}{
		"to dial": {ClientOptions{Redial: func(context.Context) (transport.Conn, error) { return nil, down }},
			func(err error) bool { return errors.Is(err, down) }},
		"to get a join": {ClientOptions{Redial: noDial, Rejoin: noJoin},
			func(err error) bool { return errors.Is(err, down) }},
		"to get a join that is one": {ClientOptions{Redial: noDial, Rejoin: badJoin},
			func(err error) bool { return errors.As(err, &invalidJoin) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				opts := tt.opts
				opts.Backoff = Backoff{Min: time.Second, Max: 2 * time.Second, Attempts: 3}
				c, p := joinedClient(t, opts)
				begin := time.Now()
				require.NoError(t, p.Close(1006, ""))
				<-c.Done()
				require.True(t, tt.want(c.Err()), "%v", c.Err())
				require.GreaterOrEqual(t, time.Since(begin), 2500*time.Millisecond, "at least half of 1 + 2 + 2 s")
				require.LessOrEqual(t, time.Since(begin), 5*time.Second)
			})
		})
	}
}

func TestRefusedRejoinIsFinalIfItWillBeRefusedAgain(t *testing.T) {
	t.Parallel()
	for name, final := range map[string]bool{
		"not authorised": true, "need-username": true, "duplicate-username": true, "no group": true,
		"illegal name": true, "elsewhere": true,
		"locked": false, "locked with a text": false, "not open yet": false, "closed": false, "no operators": false,
		"too many users": false, "internal error": false,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := script.NewDialer(t, true)
				c, p := joinedClient(t, ClientOptions{Redial: d.Dial})
				require.NoError(t, p.Close(1006, ""))
				p = (<-d.Lines).Hear(`{"type":"handshake","version":["2"],"id":"c2"}`).Say(peerHandshake).Hear(clientJoin)
				p.Say(joinRefusals[name].wire).Closed(transport.StatusNormal)
				if final {
					requireClientEnds(t, c, joinRefusals[name].want)
					require.Empty(t, d.Lines)
					return
				}
				p = (<-d.Lines).Hear(`{"type":"handshake","version":["2"],"id":"c3"}`).Say(peerHandshake)
				p.Hear(clientJoin).Say(peerJoined)
				clientHears(t, c, `{"type":"reconnected"}`, peerJoined)
				require.NoError(t, c.Close())
				p.Closed(transport.StatusNormal)
			})
		})
	}
	require.Len(t, joinRefusals, 13)
}

func TestServerThatAlwaysRefusesIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := script.NewDialer(t, true)
		c, p := joinedClient(t, ClientOptions{Redial: d.Dial, Backoff: Backoff{Attempts: 3}})
		require.NoError(t, p.Close(1006, ""))
		for range 3 {
			p := <-d.Lines
			_, _, err := p.Read(nil)
			require.NoError(t, err)
			p.Say(peerHandshake).Hear(clientJoin).Say(joinRefusals["locked"].wire).Closed(transport.StatusNormal)
		}
		<-c.Done()
		require.ErrorIs(t, c.Err(), ErrLocked)
		require.Empty(t, d.Lines)
	})
}

func TestCloseEndsAClientThatConnectsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := script.NewDialer(t, true)
		asleep, p := joinedClient(t, ClientOptions{Redial: d.Dial})
		require.NoError(t, p.Close(1006, ""))
		synctest.Wait()
		require.NoError(t, asleep.Close())
		requireClientEnds(t, asleep, nil)
		require.Empty(t, d.Lines)

		stuck := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		dialing, p := joinedClient(t, ClientOptions{
			Redial: func(ctx context.Context) (transport.Conn, error) { return nil, stuck(ctx) },
		})
		require.NoError(t, p.Close(1006, ""))
		time.Sleep(time.Minute)
		require.NoError(t, dialing.Close())
		requireClientEnds(t, dialing, nil)

		asking, p := joinedClient(t, ClientOptions{
			Redial: d.Dial, Rejoin: func(ctx context.Context, _ *Join) (*Join, error) { return nil, stuck(ctx) },
		})
		require.NoError(t, p.Close(1006, ""))
		time.Sleep(time.Minute)
		require.NoError(t, asking.Close())
		requireClientEnds(t, asking, nil)

		shaking, p := joinedClient(t, ClientOptions{Redial: d.Dial})
		require.NoError(t, p.Close(1006, ""))
		p = (<-d.Lines).Hear(`{"type":"handshake","version":["2"],"id":"c2"}`)
		require.NoError(t, shaking.Close())
		p.Closed(transport.StatusNormal)
		requireClientEnds(t, shaking, nil)

		joining, p := joinedClient(t, ClientOptions{Redial: d.Dial})
		require.NoError(t, p.Close(1006, ""))
		p = (<-d.Lines).Hear(`{"type":"handshake","version":["2"],"id":"c2"}`).Say(peerHandshake).Hear(clientJoin)
		require.NoError(t, joining.Close())
		p.Closed(transport.StatusNormal)
		requireClientEnds(t, joining, nil)
	})
}

func TestKickedErrorSaysByWhom(t *testing.T) {
	t.Parallel()
	require.Equal(t, "galene: kicked out by bob: enough", (&KickedError{"b", "bob", "enough"}).Error())
	require.Equal(t, "galene: kicked out: enough", (&KickedError{Message: "enough"}).Error())
}
