package galenehttp

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/rtcsignal/rtcsignal/galene"
)

// A GroupURL is the address of a group, and what it says about who joins.
type GroupURL struct {
	Base     string // of the server, such as "https://galene.example.org", without a slash at its end
	Name     string // of the group
	Token    string // of an invitation, or a JSON Web Token; a secret
	Username string
}

const groupPrefix = "/group/"

var (
	errScheme  = errors.New("address is not http or https")
	errNoGroup = errors.New("address is not that of a group")
)

// ParseGroupURL reads the address of a group: of its page, with or without the last slash,
// with "?token=" and "?username=". A server may be below a path.
func ParseGroupURL(s string) (*GroupURL, error) {
	g, err := parseGroupURL(s)
	if err != nil {
		return nil, fmt.Errorf("galenehttp: %w", err)
	}
	return g, nil
}

func parseGroupURL(s string) (*GroupURL, error) {
	u, err := url.Parse(s)
	if err != nil {
		if parse, ok := errors.AsType[*url.Error](err); ok {
			err = parse.Err // without the address, which may hold a token
		}
		return nil, err
	}
	if err := checkScheme(u); err != nil {
		return nil, err
	}
	prefix, name, ok := strings.Cut(u.Path, groupPrefix)
	name = strings.TrimSuffix(name, "/")
	if !ok || !galene.ValidName(name) {
		return nil, errNoGroup
	}
	query := u.Query()
	return &GroupURL{
		Base: (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: prefix}).String(), Name: name,
		Token: query.Get("token"), Username: query.Get("username"),
	}, nil
}

// checkScheme refuses addresses that nobody is to be asked at. Those with a user name are
// refused because net/http would send it.
func checkScheme(u *url.URL) error {
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return errScheme
	}
	return nil
}

// at returns the address of something of the group.
func (g *GroupURL) at(element string) string {
	return g.Base + (&url.URL{Path: groupPrefix + g.Name + "/" + element}).EscapedPath()
}

// String returns the address without the token and the user name.
func (g *GroupURL) String() string { return g.at("") }

// Link returns the address with the token and the user name, for the one who is invited, or
// for an authorisation portal that sends its user back to the group.
func (g *GroupURL) Link() string {
	query := make(url.Values)
	if g.Username != "" {
		query.Set("username", g.Username)
	}
	if g.Token != "" {
		query.Set("token", g.Token)
	}
	if len(query) == 0 {
		return g.String()
	}
	return g.String() + "?" + query.Encode()
}

// Status returns what there is to know about a group of a server that cannot be asked, such
// as one before 0.4.1: the endpoint is where it always was.
func (g *GroupURL) Status() *galene.Status {
	return &galene.Status{Name: g.Name, Location: g.String(), Endpoint: endpoint(g.Base)}
}

// endpoint returns the address of the WebSocket of a server.
func endpoint(base string) string { return "ws" + strings.TrimPrefix(base, "http") + "/ws" }

// resolve returns an address that stands in the answer to a request for base.
func resolve(base, ref string) (*url.URL, error) {
	b, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	return b.Parse(ref)
}

// groupName returns the name in a path below /group/, cleaned, or "".
func groupName(p string) string {
	rest, ok := strings.CutPrefix(p, groupPrefix)
	if !ok || rest == "" || rest[0] == '.' {
		return ""
	}
	return strings.TrimPrefix(path.Clean("/"+rest), "/")
}
