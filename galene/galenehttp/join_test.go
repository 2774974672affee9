package galenehttp_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
	"github.com/rtcsignal/rtcsignal/transport"
)

// once takes each token of its authorisation server a single time.
type once struct {
	galene.Groups
	mu     sync.Mutex
	issued int
	used   map[string]bool
}

func (o *once) authorize(_ context.Context, _, username, password string) (string, bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.issued++
	return fmt.Sprintf("%s.%d", username, o.issued), password == "right", nil
}

func (o *once) Authenticate(_ context.Context, _ *galene.Group, c galene.Credentials) (*galene.Grant, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c.Token == "" || c.Password != "" || o.used[c.Token] {
		return nil, galene.ErrNotAuthorised
	}
	o.used[c.Token] = true
	return &galene.Grant{Username: *c.Username}, nil
}

func TestAGroupIsJoinedInOneStep(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	address := f.listen()
	client, joined, err := galenehttp.Join(t.Context(), address+"/group/test", "bob", "bpw", nil)
	require.NoError(t, err)
	require.Equal(t, galene.Permissions{"present", "message"}, joined.Permissions)
	require.Equal(t, "test", client.Group())
	require.Equal(t, []string{"bob"}, f.users())
	require.NoError(t, client.Close())

	for group, want := range map[string]error{"test": galene.ErrNotAuthorised, "nosuch": galene.ErrNoGroup} {
		client, joined, err := galenehttp.Join(t.Context(), address+"/group/"+group+"/", "bob", "wrong", nil)
		require.ErrorIs(t, err, want)
		require.Nil(t, client)
		require.Nil(t, joined)
	}
}

func TestAnInvitationIsJoinedByItsAddress(t *testing.T) {
	t.Parallel()
	address := newFixture(t, nil, nil).listen()
	alice, _, err := galenehttp.Join(t.Context(), address+"/group/test/", "alice", "apw", nil)
	require.NoError(t, err)
	defer alice.Close()
	token, err := alice.MakeToken(t.Context(), &galene.TokenRequest{
		Permissions: galene.Permissions{"message"}, Expires: galene.TokenTime{In: 1e12},
	})
	require.NoError(t, err)
	link := (&galenehttp.GroupURL{Base: address, Name: "test", Token: token.Token}).Link()
	_, _, err = galenehttp.Join(t.Context(), link, "", "", nil)
	require.ErrorIs(t, err, galene.ErrNeedUsername)
	guest, joined, err := galenehttp.Join(t.Context(), link, "guest", "", nil)
	require.NoError(t, err)
	defer guest.Close()
	require.Equal(t, "guest", guest.Username())
	require.Equal(t, galene.Permissions{"message"}, joined.Permissions)
}

func TestAClientThatConnectsAgainAsksForAFreshToken(t *testing.T) {
	t.Parallel()
	store := &once{Groups: groups(), used: make(map[string]bool)}
	auth := serve(t, galenehttp.AuthHandler(store.authorize, nil))
	store.Groups["auth"].AuthServer = auth
	f := newFixture(t, &galene.ServerOptions{Groups: store}, nil)
	address := f.listen()
	opts := &galenehttp.DialOptions{Reconnect: true, Client: &galene.ClientOptions{Backoff: galene.Backoff{Min: 1, Max: 1}}}
	_, _, err := galenehttp.Join(t.Context(), address+"/group/auth/", "ada", "wrong", opts)
	require.ErrorIs(t, err, galene.ErrNotAuthorised)

	client, _, err := galenehttp.Join(t.Context(), address+"/group/auth/", "ada", "right", opts)
	require.NoError(t, err)
	defer client.Close()
	for s := range f.srv.Sessions() {
		s.Close(transport.StatusGoingAway, "")
	}
	for {
		m, err := client.Next(t.Context())
		require.NoError(t, err)
		if _, ok := m.(*galene.Reconnected); ok {
			break
		}
	}
	require.Equal(t, galene.ClientJoined, client.State())
	store.mu.Lock()
	defer store.mu.Unlock()
	require.Equal(t, map[string]bool{"ada.2": true, "ada.3": true}, store.used)
}

func TestAServerThatIsNoneIsNotJoined(t *testing.T) {
	t.Parallel()
	address := serve(t, http.NotFoundHandler())
	_, _, err := galenehttp.Join(t.Context(), address+"/group/lab/", "ada", "", nil)
	require.ErrorIs(t, err, galene.ErrNoGroup)
	deaf := serve(t, &fake{answers: map[string]string{"/group/lab/.status": `{"name":"lab"}`}})
	_, _, err = galenehttp.Join(t.Context(), deaf+"/group/lab/", "ada", "", nil)
	require.ErrorContains(t, err, "404", "there is no WebSocket")
}
