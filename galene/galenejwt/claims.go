package galenejwt

import (
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/internal/jwtclaims"
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
	Audience         jwtclaims.Audience `json:"aud,omitempty"`
	Permissions      galene.Permissions `json:"permissions"`
	IncludeSubgroups bool               `json:"include-subgroups,omitempty"`
	Issuer           string             `json:"iss,omitempty"`
	IssuedAt         jwtclaims.Date     `json:"iat,omitzero"`
	NotBefore        jwtclaims.Date     `json:"nbf,omitzero"`
	ExpiresAt        jwtclaims.Date     `json:"exp,omitzero"`
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
		Issuer: c.Issuer, IssuedAt: jwtclaims.Date{Time: c.IssuedAt}, NotBefore: jwtclaims.Date{Time: c.NotBefore}, ExpiresAt: jwtclaims.Date{Time: c.ExpiresAt},
		Extra: c.Extra,
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
