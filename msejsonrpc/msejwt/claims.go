package msejwt

import (
	"fmt"
	"maps"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/internal/jwtclaims"
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
	ID        string             `json:"jti,omitempty"`
	Issuer    string             `json:"iss,omitempty"`
	Subject   string             `json:"sub,omitempty"`
	Audience  jwtclaims.Audience `json:"aud,omitempty"`
	IssuedAt  jwtclaims.Date     `json:"iat,omitzero"`
	NotBefore jwtclaims.Date     `json:"nbf,omitzero"`
	ExpiresAt jwtclaims.Date     `json:"exp,omitzero"`
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
		return "", fmt.Errorf("%q: %w", name, jwtclaims.ErrType)
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
		IssuedAt: jwtclaims.Date{Time: c.IssuedAt}, NotBefore: jwtclaims.Date{Time: c.NotBefore}, ExpiresAt: jwtclaims.Date{Time: c.ExpiresAt},
		Extra: extra,
	})
}

// What the library's validator asks for.

func (c *claimSet) GetExpirationTime() (*jwt.NumericDate, error) {
	return jwtclaims.Numeric(c.ExpiresAt), nil
}
func (c *claimSet) GetIssuedAt() (*jwt.NumericDate, error) { return jwtclaims.Numeric(c.IssuedAt), nil }
func (c *claimSet) GetNotBefore() (*jwt.NumericDate, error) {
	return jwtclaims.Numeric(c.NotBefore), nil
}
func (c *claimSet) GetIssuer() (string, error)             { return c.Issuer, nil }
func (c *claimSet) GetSubject() (string, error)            { return c.Subject, nil }
func (c *claimSet) GetAudience() (jwt.ClaimStrings, error) { return c.Audience, nil }
