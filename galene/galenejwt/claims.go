package galenejwt

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// Claims are what a token says. What is empty is not in the token, except for the
// permissions.
type Claims struct {
	Subject          string             // sub: the user's name; empty lets users choose one
	Audience         []string           // aud: URLs of groups
	Permissions      galene.Permissions // permissions: all of them, not the name of a set
	IncludeSubgroups bool               // include-subgroups

	Issuer    string    // iss
	IssuedAt  time.Time // iat
	NotBefore time.Time // nbf
	ExpiresAt time.Time // exp: from here on the token is not valid

	Extra galene.Fields // all others
}

// A claimSet is Claims as the library takes them.
type claimSet struct{ Claims }

// wireClaims are Claims as they stand in a token.
type wireClaims struct {
	Subject          string             `json:"sub,omitempty"`
	Audience         audience           `json:"aud,omitempty"`
	Permissions      galene.Permissions `json:"permissions"`
	IncludeSubgroups bool               `json:"include-subgroups,omitempty"`
	Issuer           string             `json:"iss,omitempty"`
	IssuedAt         date               `json:"iat,omitzero"`
	NotBefore        date               `json:"nbf,omitzero"`
	ExpiresAt        date               `json:"exp,omitzero"`
	Extra            galene.Fields
}

// UnmarshalJSON reads the claims of a token.
func (c *claimSet) UnmarshalJSON(data []byte) error {
	var w wireClaims
	if err := jsonx.Unmarshal(data, &w); err != nil {
		return err
	}
	c.Claims = Claims{
		Subject: w.Subject, Audience: w.Audience, Permissions: w.Permissions, IncludeSubgroups: w.IncludeSubgroups,
		Issuer: w.Issuer, IssuedAt: w.IssuedAt.Time, NotBefore: w.NotBefore.Time, ExpiresAt: w.ExpiresAt.Time,
		Extra: w.Extra,
	}
	return nil
}

// MarshalJSON writes the claims of a token.
func (c *claimSet) MarshalJSON() ([]byte, error) {
	return jsonx.Append(nil, "", "", &wireClaims{
		Subject: c.Subject, Audience: c.Audience, Permissions: c.Permissions, IncludeSubgroups: c.IncludeSubgroups,
		Issuer: c.Issuer, IssuedAt: date{c.IssuedAt}, NotBefore: date{c.NotBefore}, ExpiresAt: date{c.ExpiresAt},
		Extra: c.Extra,
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

// maxSeconds is the end of the year 9998, beyond which RFC 3339 soon has no dates.
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
