package msejwt

import (
	"errors"

	"github.com/golang-jwt/jwt/v5"

	"github.com/rtcsignal/rtcsignal/msejsonrpc"
)

// Reasons why a token is refused, to be tested with errors.Is. There are others.
var (
	// ErrExpired: exp has passed.
	ErrExpired = jwt.ErrTokenExpired
	// ErrNotValidYet: nbf has not come.
	ErrNotValidYet = jwt.ErrTokenNotValidYet
	// ErrSignature: the signature is not that of the key, or the algorithm is not taken.
	ErrSignature = jwt.ErrTokenSignatureInvalid
	// ErrUnknownKey: there is no key for the token. [Options.Lookup] returns it.
	ErrUnknownKey = errors.New("unknown key")
	// ErrRevoked: [Options.Revoked] says so.
	ErrRevoked = errors.New("revoked")
)

// A RefusedError says why a token is refused. It holds nothing of the token but the kid
// and the algorithm. It is a [msejsonrpc.ErrAuthorizationFailed], which is all that a
// server sends of it.
type RefusedError struct {
	Err error
}

// Error says why.
func (e *RefusedError) Error() string { return "msejwt: token refused: " + e.Err.Error() }

// Unwrap returns what the client is told first, then the reason.
func (e *RefusedError) Unwrap() []error { return []error{msejsonrpc.ErrAuthorizationFailed, e.Err} }

// A faultError is no verdict on a token, because a hook could not give one.
type faultError struct {
	hook string
	err  error
}

func (e *faultError) Error() string { return "msejwt: " + e.hook + ": " + e.err.Error() }
func (e *faultError) Unwrap() error { return e.err }

var (
	errTooLong    = errors.New("too long")
	errLineBreak  = errors.New("line break")
	errCritical   = errors.New("header: crit names an extension")
	errNoUser     = errors.New("names no user")
	errNotExtra   = errors.New("has a field, but is in Extra")
	errPublicHalf = errors.New("a public key cannot sign")
)
