package msejwt

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
)

// Claims are what a token says. What is empty is not in the token.
type Claims struct {
	Domain string           // domain
	Agent  msejsonrpc.Agent // agent
	Role   msejsonrpc.Role  // role
	UserID string           // userId; of a verified token that lacks it, sub
	RoomID string           // roomId

	ID        string    // jti
	Issuer    string    // iss
	Subject   string    // sub
	Audience  []string  // aud
	IssuedAt  time.Time // iat
	NotBefore time.Time // nbf
	ExpiresAt time.Time // exp: from here on the token is not valid

	Extra msejsonrpc.Fields // all others
}

// ClaimNames are what the claims that say who a client is are called in its tokens. An
// empty name means the default. iss, sub and jti may be among them.
type ClaimNames struct {
	Domain string // default "domain"
	Agent  string // default "agent"
	Role   string // default "role"
	UserID string // default "userId"; a token that lacks it is read as if it said what sub says
	RoomID string // default "roomId"
}

var defaultNames = ClaimNames{Domain: "domain", Agent: "agent", Role: "role", UserID: "userId", RoomID: "roomId"}

func (n *ClaimNames) all() []*string {
	return []*string{&n.Domain, &n.Agent, &n.Role, &n.UserID, &n.RoomID}
}

// registered are the claims of RFC 7519; the others are in Extra.
type registered struct {
	ID        string   `json:"jti,omitempty"`
	Issuer    string   `json:"iss,omitempty"`
	Subject   string   `json:"sub,omitempty"`
	Audience  audience `json:"aud,omitempty"`
	IssuedAt  date     `json:"iat,omitzero"`
	NotBefore date     `json:"nbf,omitzero"`
	ExpiresAt date     `json:"exp,omitzero"`
	Extra     msejsonrpc.Fields
}

// text returns a claim that is a text, and another one if there is no such claim.
func (r *registered) text(name, otherwise string) (string, error) {
	switch name {
	case "jti":
		return r.ID, nil
	case "iss":
		return r.Issuer, nil
	case "sub":
		return r.Subject, nil
	}
	value, ok := r.Extra[name]
	if !ok {
		return otherwise, nil
	}
	text, ok := jsonx.Text(value)
	if !ok {
		return "", fmt.Errorf("%q: %w", name, errClaimType)
	}
	return string(text), nil
}

// A claimSet is Claims as the library takes them.
type claimSet struct {
	Claims
	names ClaimNames // for reading
}

// UnmarshalJSON reads the claims of a token.
func (c *claimSet) UnmarshalJSON(data []byte) error {
	var r registered
	if err := jsonx.Unmarshal(data, &r); err != nil {
		return err
	}
	var texts [5]string
	for i, name := range c.names.all() {
		otherwise := ""
		if name == &c.names.UserID {
			otherwise = r.Subject
		}
		var err error
		if texts[i], err = r.text(*name, otherwise); err != nil {
			return err
		}
	}
	for _, name := range c.names.all() {
		delete(r.Extra, *name)
	}
	if len(r.Extra) == 0 {
		r.Extra = nil
	}
	c.Claims = Claims{
		Domain: texts[0], Agent: msejsonrpc.Agent(texts[1]), Role: msejsonrpc.Role(texts[2]),
		UserID: texts[3], RoomID: texts[4],
		ID: r.ID, Issuer: r.Issuer, Subject: r.Subject, Audience: r.Audience,
		IssuedAt: r.IssuedAt.Time, NotBefore: r.NotBefore.Time, ExpiresAt: r.ExpiresAt.Time,
		Extra: r.Extra,
	}
	return nil
}

// MarshalJSON writes the claims of a token, under the default names.
func (c *claimSet) MarshalJSON() ([]byte, error) {
	extra := maps.Clone(c.Extra)
	if extra == nil {
		extra = make(msejsonrpc.Fields)
	}
	texts := []string{c.Domain, string(c.Agent), string(c.Role), c.UserID, c.RoomID}
	for i, name := range defaultNames.all() {
		if _, ok := extra[*name]; ok {
			return nil, fmt.Errorf("%q: %w", *name, errNotExtra)
		}
		if texts[i] == "" {
			continue
		}
		value, err := jsonx.AppendString(nil, texts[i])
		if err != nil {
			return nil, fmt.Errorf("%q: %w", *name, err)
		}
		extra[*name] = value
	}
	return jsonx.Append(nil, "", "", &registered{
		ID: c.ID, Issuer: c.Issuer, Subject: c.Subject, Audience: c.Audience,
		IssuedAt: date{c.IssuedAt}, NotBefore: date{c.NotBefore}, ExpiresAt: date{c.ExpiresAt},
		Extra: extra,
	})
}

// What the library's validator asks for.

func (c *claimSet) GetExpirationTime() (*jwt.NumericDate, error) { return numeric(c.ExpiresAt), nil }
func (c *claimSet) GetIssuedAt() (*jwt.NumericDate, error)       { return numeric(c.IssuedAt), nil }
func (c *claimSet) GetNotBefore() (*jwt.NumericDate, error)      { return numeric(c.NotBefore), nil }
func (c *claimSet) GetIssuer() (string, error)                   { return c.Issuer, nil }
func (c *claimSet) GetSubject() (string, error)                  { return c.Subject, nil }
func (c *claimSet) GetAudience() (jwt.ClaimStrings, error)       { return c.Audience, nil }

func numeric(t time.Time) *jwt.NumericDate {
	if t.IsZero() {
		return nil
	}
	return &jwt.NumericDate{Time: t}
}

// A date is the number of seconds since 1970. The library's has a precision that any
// package of the program may change.
type date struct{ time.Time }

// maxSeconds is the year 9999, beyond which RFC 3339 has no dates: a server would take
// one for none, and the token as valid for ever.
const maxSeconds = 253_370_764_800

func (d *date) UnmarshalJSON(data []byte) error {
	var number json.Number
	if len(data) == 0 || data[0] == '"' || json.Unmarshal(data, &number) != nil || number == "" {
		return errClaimType
	}
	seconds, err := strconv.ParseFloat(number.String(), 64)
	if err != nil || seconds < 0 || seconds >= maxSeconds {
		return errDateRange
	}
	d.Time = time.Unix(int64(seconds), 0)
	return nil
}

func (d date) MarshalJSON() ([]byte, error) {
	seconds := d.Unix()
	if seconds < 0 || seconds >= maxSeconds {
		return nil, errDateRange
	}
	return strconv.AppendInt(nil, seconds, 10), nil
}

// An audience is a text or an array of texts.
type audience []string

func (a *audience) UnmarshalJSON(data []byte) error {
	if text, ok := jsonx.Text(data); ok {
		*a = audience{string(text)}
		return nil
	}
	var texts []*string // null is no text
	if jsonx.IsNull(data) || json.Unmarshal(data, &texts) != nil {
		return errClaimType
	}
	*a = make(audience, len(texts))
	for i, text := range texts {
		if text == nil {
			return errClaimType
		}
		(*a)[i] = *text
	}
	return nil
}

// MarshalJSON writes a single audience as a text, which every reader takes.
func (a audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}
