package galenehttp_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

func TestTheAddressOfAGroupIsRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]galenehttp.GroupURL{
		"https://h/group/lab/":                       {Base: "https://h", Name: "lab"},
		"https://h/group/lab":                        {Base: "https://h", Name: "lab"},
		"http://h:81/group/lab/a%20b/":               {Base: "http://h:81", Name: "lab/a b"},
		"https://h/group/lab/?token=t%2B&username=u": {Base: "https://h", Name: "lab", Token: "t+", Username: "u"},
		"https://h/x/galène/group/lab/#y":            {Base: "https://h/x/gal%C3%A8ne", Name: "lab"},
		"https://h/group/group/group/":               {Base: "https://h", Name: "group/group"},
		"https://h/group/%C3%BC%3F/":                 {Base: "https://h", Name: "ü?"},
	} {
		g, err := galenehttp.ParseGroupURL(text)
		require.NoError(t, err, text)
		require.Equal(t, &want, g, text)
		same, err := galenehttp.ParseGroupURL(g.Link())
		require.NoError(t, err, text)
		require.Equal(t, g, same, text)
		require.NotContains(t, g.String(), "?", "the token is a secret")
		require.True(t, strings.HasSuffix(g.String(), "/"))
	}
	for _, text := range []string{
		"", "lab", "/group/lab/", "ftp://h/group/lab/", "ws://h/group/lab/", "https:///group/lab/", "https://h/",
		"https://h/group/", "https://h/group//", "https://h/group/../x/", "https://h/group/a//b/",
		"https://h/group/a%5Cb/", "https://u:p@h/group/lab/",
		"https://h/lab/", "https://h/group/%zz/?token=s3cret", "https://[/group/lab/?token=s3cret",
	} {
		_, err := galenehttp.ParseGroupURL(text)
		require.Error(t, err, text)
		require.NotContains(t, err.Error(), "s3cret")
	}
	link := (&galenehttp.GroupURL{Base: "https://h", Name: "a b", Token: "t&", Username: "ü"}).Link()
	require.Equal(t, "https://h/group/a%20b/?token=t%26&username=%C3%BC", link)
	require.Equal(t, &galene.Status{Name: "a b", Location: "https://h/group/a%20b/", Endpoint: "wss://h/ws"},
		(&galenehttp.GroupURL{Base: "https://h", Name: "a b"}).Status())
}

// A fake is a server of canned answers, by path.
type fake struct {
	answers map[string]string // JSON; "" is a page
	mu      sync.Mutex
	asked   []string
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.asked = append(f.asked, r.URL.RequestURI())
	f.mu.Unlock()
	text, ok := f.answers[r.URL.Path]
	switch {
	case !ok:
		http.NotFound(w, r)
	case text == "":
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<title>Galène</title>"))
	case strings.HasPrefix(text, "http"):
		http.Redirect(w, r, text, http.StatusPermanentRedirect)
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(text))
	}
}

func TestAGroupIsDiscovered(t *testing.T) {
	t.Parallel()
	address := newFixture(t, nil, nil).listen()
	status, err := galenehttp.Discover(t.Context(), address+"/group/test?token=x", nil)
	require.NoError(t, err)
	zero := 0
	require.Equal(t, &galene.Status{
		Name: "test", Location: address + "/group/test/", Endpoint: "ws" + strings.TrimPrefix(address, "http") + "/ws",
		DisplayName: "Test group", Description: "A group for traces", ClientCount: &zero,
	}, status)
	status, err = galenehttp.Discover(t.Context(), address+"/group/a%20b/%C3%BC%3F/", nil)
	require.NoError(t, err)
	require.Equal(t, "a b/ü?", status.Name)
	_, err = galenehttp.Discover(t.Context(), address+"/group/nosuch/", nil)
	require.ErrorIs(t, err, galene.ErrNoGroup)
	status2, ok := errors.AsType[*galenehttp.StatusError](err)
	require.True(t, ok)
	require.Equal(t, http.StatusNotFound, status2.StatusCode)
	_, err = galenehttp.Discover(t.Context(), "nonsense", nil)
	require.Error(t, err)
}

func TestOldServersAreDiscovered(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]*fake{
		"404":        {answers: map[string]string{"/group/lab/.status.json": `{"name":"lab"}`}},
		"a page":     {answers: map[string]string{"/group/lab/.status": "", "/group/lab/.status.json": `{"name":"lab"}`}},
		"a redirect": {answers: map[string]string{"/group/lab/.status": `{"name":"lab"}`}},
	} {
		address := serve(t, f)
		status, err := galenehttp.Discover(t.Context(), address+"/group/lab/?token=s3cret", nil)
		require.NoError(t, err, name)
		require.Equal(t, address+"/group/lab/", status.Location, "filled in")
		require.Equal(t, "ws"+strings.TrimPrefix(address, "http")+"/ws", status.Endpoint, "filled in")
		require.NotContains(t, strings.Join(f.asked, " "), "s3cret")
	}
}

func TestAGroupThatIsElsewhereIsFollowed(t *testing.T) {
	t.Parallel()
	there := serve(t, &fake{answers: map[string]string{"/group/lab/.status": `{"name":"lab","endpoint":"/socket"}`}})
	f := &fake{answers: map[string]string{
		"/group/a/.status":    `{"name":"a","redirect":"/group/b/"}`,
		"/group/b/.status":    `{"name":"b","redirect":"` + there + `/group/lab/"}`,
		"/group/loop/.status": `{"name":"loop","redirect":"/group/loop/"}`,
		"/group/bad/.status":  `{"name":"bad","redirect":"https://example.invalid/"}`,
		"/group/code/.status": `{"name":"code","redirect":"javascript:alert(1)"}`,
	}}
	here := serve(t, f)
	status, err := galenehttp.Discover(t.Context(), here+"/group/a/", nil)
	require.NoError(t, err)
	require.Equal(t, there+"/group/lab/", status.Location)
	require.Equal(t, there+"/socket", status.Endpoint, "relative to the group")
	for _, name := range []string{"loop", "bad", "code"} {
		_, err := galenehttp.Discover(t.Context(), here+"/group/"+name+"/", nil)
		elsewhere, ok := errors.AsType[*galene.Error](err)
		require.True(t, ok, name)
		require.NotEmpty(t, elsewhere.Redirect, name)
	}
	require.LessOrEqual(t, len(f.asked), 2+8+2, "a loop ends")
	_, err = galenehttp.Dial(t.Context(), &galene.Status{Name: "a", Redirect: "https://h/group/b/"}, nil)
	elsewhere, ok := errors.AsType[*galene.Error](err)
	require.True(t, ok)
	require.Equal(t, "https://h/group/b/", elsewhere.Redirect)
}

func TestAnswersThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		``, `[]`, `null`, `{}`, `{"name":""}`, `{"name":"../x"}`, `{"name":1}`, `{"name":"lab","name":"x"}`, `{"name":"lab"}{}`,
		`{"name":"lab","endpoint":"://"}`, `{"name":"lab","location":1}`, `{"name":"` + strings.Repeat("x", 1<<20) + `"}`,
	} {
		address := serve(t, &fake{answers: map[string]string{"/group/lab/.status": text, "/group/lab/.status.json": text}})
		status, err := galenehttp.Discover(t.Context(), address+"/group/lab/", nil)
		require.Error(t, err, "%.50s", text)
		require.Nil(t, status)
	}
	broken := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "out of order", http.StatusServiceUnavailable)
	}))
	_, err := galenehttp.Discover(t.Context(), broken+"/group/lab/", nil)
	require.ErrorContains(t, err, "503 Service Unavailable: out of order")
	require.NotErrorIs(t, err, galene.ErrNoGroup)
	_, err = galenehttp.PublicGroups(t.Context(), broken, nil)
	require.ErrorContains(t, err, "503")
}

func TestPublicGroupsAreListed(t *testing.T) {
	t.Parallel()
	address := newFixture(t, nil, nil).listen()
	for _, base := range []string{address, address + "/"} {
		list, err := galenehttp.PublicGroups(t.Context(), base, nil)
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, "Test group", list[0].DisplayName)
		require.Equal(t, address+"/group/test/", list[0].Location)
	}
	none := newFixture(t, &galene.ServerOptions{Groups: galene.Groups{}}, nil)
	require.Equal(t, "[]\n", none.do("GET", "http://h/public-groups.json", "").Body.String())
	list, err := galenehttp.PublicGroups(t.Context(), none.listen(), nil)
	require.NoError(t, err)
	require.Empty(t, list)

	old := serve(t, &fake{answers: map[string]string{
		"/x/public-groups.json": `[{"name":"a"},{"name":"b","redirect":"/group/c/"}]`,
	}})
	list, err = galenehttp.PublicGroups(t.Context(), old+"/x", nil)
	require.NoError(t, err)
	require.Equal(t, old+"/x/group/a/", list[0].Location)
	require.Empty(t, list[1].Endpoint)
	for _, bad := range []string{"", "ftp://h", "h"} {
		_, err := galenehttp.PublicGroups(t.Context(), bad, nil)
		require.Error(t, err, bad)
	}
	for _, text := range []string{`{}`, `[1]`, `[null]`, `[{"name":"a"}`, `[{"name":"a","endpoint":"://"}]`} {
		address := serve(t, &fake{answers: map[string]string{"/public-groups.json": text}})
		_, err := galenehttp.PublicGroups(t.Context(), address, nil)
		require.Error(t, err, text)
	}
}

func TestWhatAServerIsAskedCarriesTheHeaders(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := make(map[string]string)
	f := newFixture(t, nil, nil)
	address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.URL.Path] = r.Header.Get("X-Test")
		mu.Unlock()
		f.handler.ServeHTTP(w, r)
	}))
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	opts := &galenehttp.DialOptions{Header: http.Header{"X-Test": {"yes"}}, HTTPClient: client}
	c, _, err := galenehttp.Connect(t.Context(), address+"/group/test/", opts)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	_, err = galenehttp.PublicGroups(t.Context(), address, opts)
	require.NoError(t, err)
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, map[string]string{"/group/test/.status": "yes", "/ws": "yes", "/public-groups.json": "yes"}, seen)
}

func TestTheHeadersGoToNoOtherHost(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var leaked []string
	f := newFixture(t, nil, nil)
	there := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		leaked = append(leaked, r.Header.Get("X-Test"))
		mu.Unlock()
		f.handler.ServeHTTP(w, r)
	}))
	here := serve(t, &fake{answers: map[string]string{
		"/group/a/.status": `{"name":"a","redirect":"` + there + `/group/open/"}`,
		"/group/b/.status": `{"name":"b","endpoint":"ws` + strings.TrimPrefix(there, "http") + `/ws"}`,
	}})
	secret := http.Header{"X-Test": {"s3cret"}}
	for _, opts := range []*galenehttp.DialOptions{
		{Header: secret}, {WebSocket: &wsconn.Options{Header: secret}},
	} {
		for _, group := range []string{"a", "b"} {
			c, _, err := galenehttp.Connect(t.Context(), here+"/group/"+group+"/", opts)
			require.NoError(t, err)
			require.NoError(t, c.Close())
		}
	}
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, make([]string, 6), leaked)
}

func TestAClientConnectsAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	client, status, err := galenehttp.Connect(t.Context(), f.listen()+"/group/open/", &galenehttp.DialOptions{
		Reconnect: true, Client: &galene.ClientOptions{Backoff: galene.Backoff{Min: 1, Max: 1}},
	})
	require.NoError(t, err)
	defer client.Close()
	require.Equal(t, "open", status.Name)
	ada := "ada"
	_, err = client.Join(t.Context(), &galene.Join{Group: "open", Username: &ada})
	require.NoError(t, err)
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
}

func TestACredentialIsChosenForAJoin(t *testing.T) {
	t.Parallel()
	auth := serve(t, galenehttp.AuthHandler(authorize, nil))
	lab := &galene.Status{Name: "lab", Location: "https://galene.example.org/group/lab/"}
	withServer := *lab
	withServer.AuthServer = auth
	text := func(s string) *string { return &s }
	tests := []struct {
		name, url          string
		status             *galene.Status
		username, password string
		want               galene.Join // of the group
	}{
		{"password", "", lab, "ada", "right", galene.Join{Username: text("ada"), Password: "right"}},
		{"anonymous", "", lab, "", "", galene.Join{Username: text("")}},
		{"user name in the address", "?username=bob", lab, "", "pw", galene.Join{Username: text("bob"), Password: "pw"}},
		{"token in the address", "?token=t", &withServer, "", "", galene.Join{Token: "t"}},
		{"token and a name", "?token=t&username=bob", lab, "ada", "", galene.Join{Token: "t", Username: text("ada")}},
		{"token of the server", "", &withServer, "ada", "right", galene.Join{Token: "token.of.ada", Username: text("ada")}},
		{"unknown to the server", "", &withServer, "local", "lpw", galene.Join{Username: text("local"), Password: "lpw"}},
	}
	for _, tt := range tests {
		join, err := galenehttp.JoinRequest(t.Context(), lab.Location+tt.url, tt.status, tt.username, tt.password, nil)
		require.NoError(t, err, tt.name)
		tt.want.Kind, tt.want.Group = galene.JoinJoin, "lab"
		require.Equal(t, &tt.want, join, tt.name)
	}
	_, err := galenehttp.JoinRequest(t.Context(), lab.Location, &withServer, "ada", "wrong", nil)
	require.ErrorIs(t, err, galene.ErrNotAuthorised)
	_, err = galenehttp.JoinRequest(t.Context(), "nonsense", lab, "ada", "wrong", nil)
	require.Error(t, err)
}
