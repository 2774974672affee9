package galenehttp

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

const (
	// requestTimeout bounds a request.
	requestTimeout = 15 * time.Second
	// answerLimit is the size in bytes of the largest answer that a client reads.
	answerLimit = transport.DefaultReadLimit
	// tokenLimit is that of an authorisation server, of which a server takes less.
	tokenLimit = 64 << 10
	// maxRedirects is how often a group may be elsewhere.
	maxRedirects = 8
)

// DialOptions say how a server is reached. Nil and zero fields mean the defaults.
type DialOptions struct {
	// Client says how the client of [Connect] behaves.
	Client *galene.ClientOptions
	// Reconnect opens a lost connection again, as often as the Backoff of Client says, and
	// joins its group again. It replaces the Redial of Client.
	Reconnect bool

	Header     http.Header  // of every request to the host of the address that is given, and to no other
	HTTPClient *http.Client // default: http.DefaultClient; WebSocket handshakes make one of their own
	// WebSocket holds the limits and time-outs of WebSocket connections; its Header and
	// HTTPClient are taken from the fields above when these are set.
	WebSocket *wsconn.Options
}

// A StatusError is an answer that is none. It wraps what it says, if that is one of the
// errors of package galene.
type StatusError struct {
	StatusCode int
	Text       string // the beginning of its body, if that is a text
	Err        error  // [galene.ErrNoGroup], [galene.ErrNotAuthorised] or nil
}

// Error returns the status and the text.
func (e *StatusError) Error() string {
	text := strings.TrimSpace(fmt.Sprint("server answered ", e.StatusCode, " ", http.StatusText(e.StatusCode)))
	if e.Text != "" {
		text += ": " + e.Text
	}
	return text
}

// Unwrap returns what the answer says.
func (e *StatusError) Unwrap() error { return e.Err }

// An answer is that of a server, read as a whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// is reports whether the body has a media type.
func (a *answer) is(mediaType string) bool {
	t, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	return err == nil && t == mediaType
}

// err returns the answer as an error, with what it means for its status.
func (a *answer) err(meaning map[int]error) error {
	e := &StatusError{StatusCode: a.status, Err: meaning[a.status]}
	if a.is("text/plain") {
		const most = 200
		e.Text = strings.ToValidUTF8(strings.TrimSpace(string(a.body[:min(len(a.body), most)])), "")
	}
	return e
}

// ofGroup is what an answer about a group means.
var ofGroup = map[int]error{http.StatusNotFound: galene.ErrNoGroup}

// ofCredentials is what an answer to credentials means.
var ofCredentials = map[int]error{
	http.StatusUnauthorized: galene.ErrNotAuthorised, http.StatusForbidden: galene.ErrNotAuthorised,
	http.StatusNotFound: galene.ErrNoGroup,
}

var (
	errTooBig   = errors.New("answer too big")
	errRedirect = errors.New("redirected, which would give a secret away")
)

// do makes a request. With stay it follows no redirection.
func (o *DialOptions) do(r *http.Request, limit int64, stay bool) (*answer, error) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	client := http.DefaultClient
	if o != nil && o.HTTPClient != nil {
		client = o.HTTPClient
	}
	if stay {
		c := *client
		c.CheckRedirect = func(*http.Request, []*http.Request) error { return errRedirect }
		client = &c
	}
	resp, err := client.Do(r.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, errTooBig
	}
	return &answer{resp.StatusCode, resp.Header, body}, nil
}

// request makes a request to a server of groups.
func (o *DialOptions) request(ctx context.Context, method, address string, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if o != nil {
		maps.Copy(r.Header, o.Header)
	}
	return r, nil
}

func (o *DialOptions) get(ctx context.Context, address string) (*answer, error) {
	r, err := o.request(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	return o.do(r, answerLimit, false)
}

// at returns the options for a request to address, if those are for base: another host does
// not get the header.
func (o *DialOptions) at(base, address string) *DialOptions {
	if o == nil {
		return o
	}
	a, err := url.Parse(base)
	b, err1 := url.Parse(address)
	if err == nil && err1 == nil && a.Host == b.Host {
		return o
	}
	other := *o
	other.Header = nil
	if o.WebSocket != nil {
		ws := *o.WebSocket
		ws.Header = nil
		other.WebSocket = &ws
	}
	return &other
}

// Discover asks a server about a group, of which it takes the address. If the group is
// elsewhere, that server is asked. Where the answer lacks a location or an endpoint, they
// are filled in. The error wraps [galene.ErrNoGroup] if there is no such group.
//
// The token in an address is sent to nobody.
func Discover(ctx context.Context, groupURL string, opts *DialOptions) (*galene.Status, error) {
	g, err := ParseGroupURL(groupURL)
	if err != nil {
		return nil, err
	}
	for range maxRedirects {
		status, err := opts.at(groupURL, g.Base).status(ctx, g)
		if err != nil {
			return nil, fmt.Errorf("galenehttp: discover %s: %w", g, err)
		}
		if status.Redirect == "" {
			return status, nil
		}
		next, err := resolve(g.String(), status.Redirect)
		if err == nil {
			g, err = parseGroupURL(next.String())
		}
		if err != nil {
			return nil, fmt.Errorf("galenehttp: discover: %w: %w", &galene.Error{Redirect: status.Redirect}, err)
		}
	}
	return nil, fmt.Errorf("galenehttp: discover: %w: too many redirections", &galene.Error{Redirect: g.String()})
}

// status asks about a group. Servers before 0.8.1 call the status otherwise, and answer
// today's name with 404 or a page.
func (o *DialOptions) status(ctx context.Context, g *GroupURL) (*galene.Status, error) {
	const mediaType = "application/json"
	a, err := o.get(ctx, g.at(".status"))
	if err == nil && (a.status == http.StatusNotFound || a.status == http.StatusOK && !a.is(mediaType)) {
		a, err = o.get(ctx, g.at(".status.json"))
	}
	switch {
	case err != nil:
		return nil, err
	case a.status != http.StatusOK:
		return nil, a.err(ofGroup)
	case !a.is(mediaType):
		return nil, errors.New("the answer is not JSON")
	}
	status := new(galene.Status)
	if err := jsonx.Unmarshal(a.body, status); err != nil {
		return nil, err
	}
	if !galene.ValidName(status.Name) {
		return nil, errors.New("the answer names no group")
	}
	if status.Redirect != "" {
		return status, nil
	}
	return status, g.complete(status)
}

// complete fills in the addresses of a status, which may be relative.
func (g *GroupURL) complete(s *galene.Status) error {
	known := (&GroupURL{Base: g.Base, Name: s.Name}).Status()
	for _, address := range []struct {
		field     *string
		otherwise string
	}{{&s.Location, known.Location}, {&s.Endpoint, known.Endpoint}} {
		u, err := resolve(g.String(), cmp.Or(*address.field, address.otherwise))
		if err != nil {
			return errors.New("the answer has a bad address")
		}
		*address.field = u.String()
	}
	return nil
}

// PublicGroups asks a server, of which it takes the address, for its public groups.
func PublicGroups(ctx context.Context, baseURL string, opts *DialOptions) ([]*galene.Status, error) {
	base := strings.TrimSuffix(baseURL, "/")
	groups, err := opts.publicGroups(ctx, base)
	if err != nil {
		return nil, fmt.Errorf("galenehttp: public groups: %w", err)
	}
	return groups, nil
}

func (o *DialOptions) publicGroups(ctx context.Context, base string) ([]*galene.Status, error) {
	u, err := resolve(base, "")
	if err != nil {
		return nil, err
	}
	if err := checkScheme(u); err != nil {
		return nil, err
	}
	a, err := o.get(ctx, base+"/public-groups.json")
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, a.err(nil)
	}
	var list struct {
		Groups []*galene.Status `json:"groups"`
	}
	if err := jsonx.Unmarshal(append(append([]byte(`{"groups":`), a.body...), '}'), &list); err != nil {
		return nil, err
	}
	for _, status := range list.Groups {
		if status.Redirect != "" {
			continue
		}
		if err := (&GroupURL{Base: base}).complete(status); err != nil {
			return nil, err
		}
	}
	return list.Groups, nil
}

// Dial opens a connection to the server of a group, whose status is from [Discover]. The
// header of opts goes there, whatever host that is.
func Dial(ctx context.Context, status *galene.Status, opts *DialOptions) (transport.Conn, error) {
	if status.Redirect != "" {
		return nil, fmt.Errorf("galenehttp: dial: %w", &galene.Error{Redirect: status.Redirect})
	}
	var o wsconn.Options
	if opts != nil {
		if opts.WebSocket != nil {
			o = *opts.WebSocket
		}
		if opts.Header != nil {
			o.Header = opts.Header
		}
		if opts.HTTPClient != nil {
			o.HTTPClient = opts.HTTPClient
		}
	}
	o.ReadLimit = cmp.Or(o.ReadLimit, 2*galene.DefaultMessageBytes) // as a client's MessageBytes
	return wsconn.Dial(ctx, status.Endpoint, &o)
}

// Connect finds the server of a group, of which it takes the address, and shakes hands with
// it. ctx bounds only that. To join, see [JoinRequest].
func Connect(ctx context.Context, groupURL string, opts *DialOptions) (*galene.Client, *galene.Status, error) {
	status, err := Discover(ctx, groupURL, opts)
	if err != nil {
		return nil, nil, err
	}
	opts = opts.at(groupURL, status.Endpoint)
	conn, err := Dial(ctx, status, opts)
	if err != nil {
		return nil, nil, err
	}
	var o galene.ClientOptions
	if opts != nil && opts.Client != nil {
		o = *opts.Client
	}
	if opts != nil && opts.Reconnect {
		o.Redial = func(ctx context.Context) (transport.Conn, error) { return Dial(ctx, status, opts) }
	}
	client, err := galene.Connect(ctx, conn, &o)
	if err != nil {
		return nil, nil, err
	}
	return client, status, nil
}

// JoinRequest returns what to join a group with: a token, if there is one in the group's
// address; else the one that the group's authorisation server gives for the user name and
// the password; else these themselves. It fits the Rejoin of [galene.ClientOptions], too,
// because the tokens of an authorisation server soon end.
//
// If the group is elsewhere, what is returned goes to that server: see Location of status.
func JoinRequest(
	ctx context.Context, groupURL string, status *galene.Status, username, password string, opts *DialOptions,
) (*galene.Join, error) {
	g, err := ParseGroupURL(groupURL)
	if err != nil {
		return nil, err
	}
	join := &galene.Join{Kind: galene.JoinJoin, Group: status.Name}
	if username = cmp.Or(username, g.Username); username != "" || g.Token == "" {
		join.Username = &username
	}
	join.Token = g.Token
	if join.Token == "" && status.AuthServer != "" {
		join.Token, err = AuthServer(ctx, status.AuthServer, status.Location, username, password, opts)
		if err != nil {
			return nil, err
		}
	}
	if join.Token == "" {
		join.Password = password
	}
	return join, nil
}

// An authRequest is what an authorisation server is asked.
type authRequest struct {
	Location string `json:"location"`
	Username string `json:"username"`
	Password string `json:"password"`
	Extra    galene.Fields
}

// AuthServer asks an authorisation server for a token with which the user can join the group
// at location. An empty token means that the server does not know the user, who may join
// with the password. The error wraps [galene.ErrNotAuthorised] if the server refuses.
//
// Redirections are not followed, because the password would go there.
func AuthServer(ctx context.Context, server, location, username, password string, opts *DialOptions) (string, error) {
	token, err := opts.authServer(ctx, server, &authRequest{Location: location, Username: username, Password: password})
	if err != nil {
		return "", fmt.Errorf("galenehttp: authorisation server: %w", err)
	}
	return token, nil
}

func (o *DialOptions) authServer(ctx context.Context, server string, request *authRequest) (string, error) {
	body, err := jsonx.Append(nil, "", "", request)
	if err != nil {
		return "", err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, server, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	if err := checkScheme(r.URL); err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/json")
	a, err := o.do(r, tokenLimit, true)
	if err != nil {
		return "", err
	}
	switch {
	case a.status == http.StatusNoContent:
		return "", nil
	case a.status != http.StatusOK:
		return "", a.err(map[int]error{
			http.StatusUnauthorized: galene.ErrNotAuthorised, http.StatusForbidden: galene.ErrNotAuthorised,
		})
	case !a.is("application/jwt"):
		return "", errors.New("the answer is not a token")
	}
	token := strings.TrimSpace(string(a.body))
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("the answer is not a token")
	}
	return token, nil
}
