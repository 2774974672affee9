// Package jwtclaims reads and writes the claims that JSON Web Tokens have in common, more
// strictly than the library that signs and checks them: dates are numbers of whole seconds
// until the year 9998, and a wrong JSON type is an error.
package jwtclaims

import (
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// What can be wrong with a claim.
var (
	ErrRange = errors.New("date out of range")
	ErrType  = errors.New("wrong JSON type")
)

// Numeric returns a date as the library's validator takes it, nil for none.
func Numeric(t time.Time) *jwt.NumericDate {
	if t.IsZero() {
		return nil
	}
	return &jwt.NumericDate{Time: t}
}

// A Date is the number of seconds since 1970. The library's has a precision that any
// package of the program may change.
type Date struct{ time.Time }

// maxSeconds is the end of the year 9998, beyond which RFC 3339 soon has no dates: a server
// would take one for none, and the token as valid for ever.
const maxSeconds = 253_370_764_800

// UnmarshalJSON reads a number; a fraction is cut off.
func (d *Date) UnmarshalJSON(data []byte) error {
	var number json.Number
	if len(data) == 0 || data[0] == '"' || json.Unmarshal(data, &number) != nil || number == "" {
		return ErrType
	}
	seconds, err := strconv.ParseFloat(number.String(), 64)
	if err != nil || seconds < 0 || seconds >= maxSeconds {
		return ErrRange
	}
	d.Time = time.Unix(int64(seconds), 0)
	return nil
}

// MarshalJSON writes whole seconds.
func (d Date) MarshalJSON() ([]byte, error) {
	seconds := d.Unix()
	if seconds < 0 || seconds >= maxSeconds {
		return nil, ErrRange
	}
	return strconv.AppendInt(nil, seconds, 10), nil
}

// An Audience is a text or an array of texts.
type Audience []string

// UnmarshalJSON reads both forms.
func (a *Audience) UnmarshalJSON(data []byte) error {
	if text, ok := jsonx.Text(data); ok {
		*a = Audience{string(text)}
		return nil
	}
	var texts []*string // null is no text
	if jsonx.IsNull(data) || json.Unmarshal(data, &texts) != nil {
		return ErrType
	}
	*a = make(Audience, len(texts))
	for i, text := range texts {
		if text == nil {
			return ErrType
		}
		(*a)[i] = *text
	}
	return nil
}

// MarshalJSON writes a single audience as a text, which every reader takes.
func (a Audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}
