package galenejwt

import (
	"errors"

	"github.com/golang-jwt/jwt/v5"

	"github.com/rtcsignal/rtcsignal/galene"
)

// Reasons why a token is refused, to be tested with errors.Is. There are others.
var (
	// ErrExpired: exp has passed.
	ErrExpired = jwt.ErrTokenExpired
	// ErrNotValidYet: nbf has not come.
	ErrNotValidYet = jwt.ErrTokenNotValidYet
	// ErrSignature: the signature is not that of the key, or the algorithm is not taken.
	ErrSignature = jwt.ErrTokenSignatureInvalid
	// ErrUnknownKey: there is no key for the token.
	ErrUnknownKey = errors.New("unknown key")
	// ErrAudience: the token is for another group, or for another server.
	ErrAudience = errors.New("for another group")
)

// A RefusedError says why a token is refused. It holds nothing of the token but the kid
// and the algorithm. It is a [galene.ErrNotAuthorised], which is all that a server sends of
// it.
type RefusedError struct {
	Err error
}

// Error says why.
func (e *RefusedError) Error() string { return "galenejwt: token refused: " + e.Err.Error() }

// Unwrap returns what the client is told first, then the reason.
func (e *RefusedError) Unwrap() []error { return []error{galene.ErrNotAuthorised, e.Err} }

var (
	errTooLong    = errors.New("too long")
	errLineBreak  = errors.New("line break")
	errCritical   = errors.New("header: crit names an extension")
	errPublicHalf = errors.New("a public key cannot sign")
	errEncoding   = errors.New("not base64url without padding")
)
