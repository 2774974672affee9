package galene

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// joinRefusals are what servers say when a join fails, and what a caller compares that with.
var joinRefusals = map[string]joinRefusal{
	"not authorised": {joinFailed(`"username":"","value":"not authorised"`), ErrNotAuthorised, ""},
	"need-username": {joinFailed(`"username":"","error":"need-username","value":"username required"`),
		ErrNeedUsername, ""},
	"duplicate-username": {joinFailed(`"username":"u","error":"duplicate-username","value":"` + joinTaken + `"`),
		ErrDuplicateUsername, "u"},
	"no group":     {joinFailed(`"value":"group does not exist"`), ErrNoGroup, ""},
	"illegal name": {joinFailed(`"value":"illegal group name"`), ErrIllegalGroupName, ""},
	"locked":       {joinFailed(`"username":"u","value":"this group is locked"`), ErrLocked, "u"},
	"locked with a text": {joinFailed(`"username":"u","value":"come back at five"`), &Error{Text: "come back at five"},
		"u"},
	"not open yet": {joinFailed(`"username":"u","value":"this group is not open yet"`), ErrNotOpenYet, "u"},
	"closed":       {joinFailed(`"username":"u","value":"this group is closed"`), ErrClosed, "u"},
	"no operators": {joinFailed(`"username":"u","value":"there are no operators in this group"`), ErrNoOperators,
		"u"},
	"too many users": {joinFailed(`"username":"u","value":"too many users"`), ErrTooManyUsers, "u"},
	"internal error": {joinFailed(`"value":"internal server error"`), ErrInternal, ""},
	"elsewhere": {`{"type":"joined","kind":"redirect","group":"g","value":"https://example.org/group/g/"}`,
		&Error{Text: "group is elsewhere", Redirect: "https://example.org/group/g/"}, ""},
}

type joinRefusal struct {
	wire     string
	want     *Error
	username string
}

const joinTaken = "not authorised: this username is taken"

func joinFailed(members string) string {
	return `{"type":"joined","kind":"fail","group":"g",` + members + `}`
}

func TestRefusedJoinIsAnErrorToCompare(t *testing.T) {
	t.Parallel()
	for name, tt := range joinRefusals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, p := readyClient(t, ClientOptions{})
				p.Answer(clientJoin, tt.wire)
				joined, err := c.Join(t.Context(), &Join{Group: "g", Username: new("u")})
				require.Nil(t, joined)
				require.ErrorIs(t, err, tt.want)
				refusal, ok := errors.AsType[*Error](err)
				require.True(t, ok)
				require.Equal(t, tt.want.ID, refusal.ID)
				require.Equal(t, tt.want.Redirect, refusal.Redirect)
				require.Equal(t, tt.username, refusal.Username)
				for other, o := range joinRefusals {
					require.Equal(t, other == name, errors.Is(err, o.want), other)
				}
				require.Equal(t, ClientReady, c.State())
				require.Empty(t, c.Group())
				require.Empty(t, c.Username())

				p.Answer(clientJoin, peerJoined)
				_, err = c.Join(t.Context(), &Join{Group: "g", Username: new("u")})
				require.NoError(t, err)
				clientHears(t, c, peerJoined) // and nothing of the refusal
				require.NoError(t, c.Close())
			})
		})
	}
}

func TestRefusalThatNobodyWaitsForComesWithNext(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"locked", "elsewhere"} {
		synctest.Test(t, func(t *testing.T) {
			c, p := readyClient(t, ClientOptions{})
			require.NoError(t, c.Send(&Join{Kind: JoinJoin, Group: "g", Username: new("u")}))
			p.Hear(clientJoin).Say(joinRefusals[name].wire)
			clientHears(t, c, joinRefusals[name].wire)

			ctx, cancel := context.WithCancel(t.Context())
			given := make(chan error, 1)
			go func() {
				_, err := c.Join(ctx, &Join{Group: "g", Username: new("u")})
				given <- err
			}()
			p.Hear(clientJoin)
			cancel()
			require.Equal(t, context.Canceled, <-given)
			p.Say(joinRefusals[name].wire)
			clientHears(t, c, joinRefusals[name].wire)

			// What succeeds comes with Next in any case, once.
			require.NoError(t, c.Send(&Join{Kind: JoinJoin, Group: "g", Username: new("u")}))
			p.Hear(clientJoin).Say(peerJoined, peerChat)
			clientHears(t, c, peerJoined, peerChat)
			require.NoError(t, c.Close())
		})
	}
}

func TestJoinDoesNotChangeWhatItIsGiven(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := readyClient(t, ClientOptions{})
		join := &Join{Group: "g", Username: new("u")}
		p.Answer(clientJoin, peerJoined)
		_, err := c.Join(t.Context(), join)
		require.NoError(t, err)
		require.Equal(t, &Join{Group: "g", Username: new("u")}, join)
		require.NoError(t, c.Close())
	})
}

func TestJoinRefusesWhatTheServerWould(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := readyClient(t, ClientOptions{})
		for name, join := range map[string]*Join{
			"no group":         {Username: new("u")},
			"an illegal group": {Group: "../g", Username: new("u")},
			"nobody":           {Group: "g"},
			"bad data":         {Group: "g", Username: new("u"), Data: Fields{"a": json.RawMessage(`{`)}},
			"not UTF-8":        {Group: "g", Username: new("u"), Password: "\xff"},
		} {
			_, err := c.Join(t.Context(), join)
			_, ok := errors.AsType[*ValidationError](err)
			require.True(t, ok, "%s: %v", name, err)
		}
		require.Equal(t, ClientReady, c.State())
		require.Zero(t, c.calls.Len())
		require.NoError(t, c.Close())
	})
}

func TestTokenIsProbedBeforeANameIsAskedFor(t *testing.T) {
	t.Parallel()
	probe := `{"type":"join","kind":"join","token":"T","group":"g"}`
	named := `{"type":"join","kind":"join","username":"n","token":"T","group":"g"}`
	noName := func(context.Context) (string, error) { panic("asks for a name that is not needed") }
	synctest.Test(t, func(t *testing.T) {
		c, p := readyClient(t, ClientOptions{})
		p.Answer(probe, joinRefusals["not authorised"].wire)
		_, err := c.JoinWithToken(t.Context(), "g", "T", noName)
		require.ErrorIs(t, err, ErrNotAuthorised)

		away := errors.New("went away")
		p.Answer(probe, joinRefusals["need-username"].wire)
		_, err = c.JoinWithToken(t.Context(), "g", "T", func(context.Context) (string, error) { return "", away })
		require.Equal(t, away, err)

		name := func(context.Context) (string, error) { return "n", nil }
		p.Answers(probe, joinRefusals["need-username"].wire, named, joinRefusals["duplicate-username"].wire)
		_, err = c.JoinWithToken(t.Context(), "g", "T", name)
		require.ErrorIs(t, err, ErrDuplicateUsername)

		p.Answers(probe, joinRefusals["need-username"].wire, named, peerJoined)
		joined, err := c.JoinWithToken(t.Context(), "g", "T", name)
		require.NoError(t, err)
		require.Equal(t, "u", *joined.Username, "which the token may say, too")
		require.NoError(t, c.Close())

		c, p = readyClient(t, ClientOptions{})
		p.Answer(probe, peerJoined)
		_, err = c.JoinWithToken(t.Context(), "g", "T", noName)
		require.NoError(t, err)
		require.NoError(t, c.Close())
	})
}

func TestJoinWithoutAnAnswerEndsTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := readyClient(t, ClientOptions{})
		begin := time.Now()
		result := make(chan error, 1)
		go func() {
			_, err := c.Join(t.Context(), &Join{Group: "g", Username: new("u")})
			result <- err
		}()
		p.Hear(clientJoin).Closed(transport.StatusPolicyViolation)
		require.Equal(t, ErrCallTimeout, <-result)
		require.Equal(t, DefaultCallTimeout, time.Since(begin))
		requireClientEnds(t, c, ErrCallTimeout)
	})
}

func TestJoinEndsWithItsConnection(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(p *script.Line){
		"closed":  func(p *script.Line) { _ = p.Close(1000, "") },
		"cut":     func(p *script.Line) { _ = p.Close(1006, "") },
		"garbage": func(p *script.Line) { p.Say("garbage") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, p := readyClient(t, ClientOptions{})
				result := make(chan error, 1)
				go func() {
					_, err := c.Join(t.Context(), &Join{Group: "g", Username: new("u")})
					result <- err
				}()
				p.Hear(clientJoin)
				end(p)
				require.Equal(t, ErrConnectionLost, <-result)
				<-c.Done()
				require.Zero(t, c.calls.Len())
			})
		})
	}
}

func TestClientThatHasLeftMayJoinAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, ClientOptions{})
		leave := `{"type":"join","kind":"leave","group":"g"}`
		left := `{"type":"joined","kind":"leave","group":"g","username":"u"}`
		for range 2 {
			p.Answer(leave, left)
			require.NoError(t, c.Leave(t.Context()))
			clientHears(t, c, left)
			require.Equal(t, ClientReady, c.State())
			require.Empty(t, c.Group())
			require.Empty(t, c.Users())
			e, ok := errors.AsType[*StateError](c.Leave(t.Context()))
			require.True(t, ok)
			require.Equal(t, &StateError{State: ClientReady, Type: "join", Required: []string{"joined"}}, e)

			p.Answer(clientJoin, peerJoined)
			_, err := c.Join(t.Context(), &Join{Group: "g", Username: new("u")})
			require.NoError(t, err)
			clientHears(t, c, peerJoined)
		}
		require.NoError(t, c.Close())
	})
}

func TestAwaitUserWaitsForTheOneItTakes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, ClientOptions{})
		isBob := func(u *User) bool { return *u.Username == "bob" && u.ID != c.ID() } // which asks the client
		found := make(chan *User, 1)
		go func() {
			u, err := c.AwaitUser(t.Context(), isBob)
			require.NoError(t, err)
			found <- u
		}()
		p.Say(`{"type":"user","kind":"add","id":"a","username":"alice"}`)
		synctest.Wait()
		require.Empty(t, found)
		p.Say(`{"type":"user","kind":"add","id":"b","username":"bob"}`)
		require.Equal(t, "b", (<-found).ID)
		u, err := c.AwaitUser(t.Context(), isBob) // who is there already
		require.NoError(t, err)
		require.Equal(t, "b", u.ID)

		nobody := func(*User) bool { return false }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.AwaitUser(ctx, nobody)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		go func() { require.NoError(t, p.Close(transport.StatusNormal, "")) }()
		_, err = c.AwaitUser(t.Context(), nobody)
		require.ErrorIs(t, err, io.EOF)
		<-c.Done()
	})
}

// Releases up to 1.1 have another text.
func TestErrorsOfAJoinAreComparedByTheirIDs(t *testing.T) {
	t.Parallel()
	old := &Error{ID: ErrorNeedUsername, Text: "not authorised: username required"}
	require.ErrorIs(t, old, ErrNeedUsername)
	require.NotErrorIs(t, old, ErrDuplicateUsername)
	require.NotErrorIs(t, old, ErrNotAuthorised)
	require.ErrorIs(t, &Error{ID: ErrorDuplicateUsername, Text: "taken"}, ErrDuplicateUsername)
	require.NotErrorIs(t, &Error{Text: ErrNeedUsername.Text}, ErrNeedUsername)
	require.NotErrorIs(t, old, errors.New(old.Text))
}
