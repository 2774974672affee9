package galenehttp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/rtcsignal/rtcsignal/galene"
)

const (
	typeSDP      = "application/sdp"
	typeFragment = "application/trickle-ice-sdpfrag"
)

// A WHIP is a stream that was published over HTTP (RFC 9725), in place of a client. Its
// methods may be called concurrently.
type WHIP struct {
	Answer     string             // SDP, with all candidates of the server
	ICEServers []galene.ICEServer // of the server, which an offer made without them may need
	Location   string             // of the resource

	opts  *DialOptions
	token string
	mu    sync.Mutex
	etag  string
}

// Publish sends an offer to a group, of which it takes the address, and returns the answer.
// The token in the address says who publishes; groups where everybody may need none. The
// error wraps [galene.ErrNotAuthorised] if the server refuses. Redirections are not
// followed, because the token would go there.
//
// The stream is there until [WHIP.Close].
func Publish(ctx context.Context, groupURL, offer string, opts *DialOptions) (*WHIP, error) {
	g, err := ParseGroupURL(groupURL)
	if err != nil {
		return nil, err
	}
	w := &WHIP{opts: opts, token: g.Token}
	if err := w.publish(ctx, g.at(".whip"), offer); err != nil {
		return nil, fmt.Errorf("galenehttp: publish: %w", err)
	}
	return w, nil
}

func (w *WHIP) publish(ctx context.Context, endpoint, offer string) error {
	a, err := w.request(ctx, http.MethodPost, endpoint, typeSDP, offer, "")
	switch {
	case err != nil:
		return err
	case a.status != http.StatusCreated:
		return a.err(ofCredentials)
	case !a.is(typeSDP):
		return errors.New("the answer is not an SDP")
	}
	from, err := resolve(endpoint, "")
	if err != nil {
		return err
	}
	location, err := from.Parse(a.header.Get("Location"))
	// The token must not go to another server.
	if err != nil || location.Scheme != from.Scheme || location.Host != from.Host || location.Path == from.Path {
		return errors.New("the answer has no location at this server")
	}
	w.Location, w.Answer, w.etag = location.String(), string(a.body), a.header.Get("Etag")
	w.ICEServers = iceServers(a.header.Values("Link"))
	return nil
}

// request makes a request with the token.
func (w *WHIP) request(ctx context.Context, method, address, mediaType, body, ifMatch string) (*answer, error) {
	r, err := w.opts.request(ctx, method, address, []byte(body))
	if err != nil {
		return nil, err
	}
	r.Header = r.Header.Clone()
	if mediaType != "" {
		r.Header.Set("Content-Type", mediaType)
	}
	if w.token != "" {
		r.Header.Set("Authorization", "Bearer "+w.token)
	}
	if ifMatch != "" {
		r.Header.Set("If-Match", ifMatch)
	}
	return w.opts.do(r, answerLimit, true)
}

// Trickle sends candidates, see [NewFragment].
func (w *WHIP) Trickle(ctx context.Context, fragment string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, err := w.request(ctx, http.MethodPatch, w.Location, typeFragment, fragment, w.etag)
	if err == nil && a.status != http.StatusNoContent {
		err = a.err(ofCredentials)
	}
	if err != nil {
		return fmt.Errorf("galenehttp: trickle: %w", err)
	}
	return nil
}

// Restart sends the fragment of an offer that restarts ICE, and returns the one of the
// answer.
func (w *WHIP) Restart(ctx context.Context, fragment string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, err := w.request(ctx, http.MethodPatch, w.Location, typeFragment, fragment, "*")
	switch {
	case err != nil:
	case a.status != http.StatusOK:
		err = a.err(ofCredentials)
	case !a.is(typeFragment):
		err = errors.New("the answer is not a fragment")
	}
	if err != nil {
		return "", fmt.Errorf("galenehttp: restart: %w", err)
	}
	w.etag = cmp.Or(a.header.Get("Etag"), w.etag)
	return string(a.body), nil
}

// Close ends the stream.
func (w *WHIP) Close(ctx context.Context) error {
	a, err := w.request(ctx, http.MethodDelete, w.Location, "", "", "")
	if err == nil && a.status != http.StatusOK && a.status != http.StatusNoContent {
		err = a.err(ofCredentials)
	}
	if err != nil {
		return fmt.Errorf("galenehttp: close: %w", err)
	}
	return nil
}

// iceServers reads the links of an answer that are ICE servers.
func iceServers(links []string) []galene.ICEServer {
	var servers []galene.ICEServer
	for _, link := range links {
		for link != "" {
			var target string
			var params map[string]string
			if target, params, link = nextLink(link); target == "" {
				break
			}
			if params["rel"] == "ice-server" {
				servers = append(servers, galene.ICEServer{
					URLs: []string{target}, Username: params["username"], Credential: params["credential"],
					CredentialType: params["credential-type"],
				})
			}
		}
	}
	return servers
}

// nextLink reads a link of a Link header (RFC 8288), and returns what follows it. Without a
// target there is none.
func nextLink(s string) (target string, params map[string]string, rest string) {
	s, ok := strings.CutPrefix(strings.TrimLeft(s, " \t,"), "<")
	if !ok {
		return "", nil, ""
	}
	if target, s, ok = strings.Cut(s, ">"); !ok {
		return "", nil, ""
	}
	params = make(map[string]string)
	for {
		s = strings.TrimLeft(s, " \t")
		if s, ok = strings.CutPrefix(s, ";"); !ok {
			return target, params, s
		}
		end := strings.IndexAny(s, "=;,")
		if end < 0 {
			return target, params, ""
		}
		name := strings.ToLower(strings.Trim(s[:end], " \t"))
		value := ""
		if s[end] == '=' {
			value, s = linkValue(strings.TrimLeft(s[end+1:], " \t"))
		} else {
			s = s[end:]
		}
		if _, ok := params[name]; !ok {
			params[name] = value
		}
	}
}

// linkValue reads the value of a parameter, which may be quoted.
func linkValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, ";,")
		if end < 0 {
			end = len(s)
		}
		return strings.TrimRight(s[:end], " \t"), s[end:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:]
		case '\\':
			if i++; i == len(s) {
				return b.String(), ""
			}
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}

var quoter = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// iceLinks writes ICE servers as links. What would not be one header is left out.
func iceLinks(servers []galene.ICEServer) []string {
	var links []string
	for _, server := range servers {
		for _, target := range server.URLs {
			link := "<" + target + `>; rel="ice-server"`
			if server.Username != "" || server.Credential != "" {
				link += fmt.Sprintf(`; username="%s"; credential="%s"; credential-type="%s"`, quoter.Replace(server.Username),
					quoter.Replace(server.Credential), quoter.Replace(cmp.Or(server.CredentialType, "password")))
			}
			control := func(r rune) bool { return r < ' ' || r == 0x7F }
			if !strings.ContainsAny(target, "<> \"") && !strings.ContainsFunc(link, control) {
				links = append(links, link)
			}
		}
	}
	return links
}

// matches reports whether a header such as If-Match names an entity tag.
func matches(header, etag string) bool {
	return slices.ContainsFunc(strings.Split(header, ","), func(one string) bool {
		one = strings.TrimSpace(one)
		return one == "*" || one == etag
	})
}
