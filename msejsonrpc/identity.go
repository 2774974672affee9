package msejsonrpc

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// A Role is what a client may do; what that is, is up to the server.
type Role string

// The roles of the protocol document.
const (
	RoleUser  Role = "user"
	RoleAdmin Role = "admin"
	RoleSuper Role = "super"
)

// An Agent is what kind of client a token was issued for.
type Agent string

// The agents of the protocol document.
const (
	AgentWeb    Agent = "web"
	AgentMobile Agent = "mobile"
)

// An Identity is what a server knows about a client: the outcome of authentication, and
// the result of whoami.
type Identity struct {
	Domain      string `json:"domain"`
	Agent       Agent  `json:"agent"`
	Role        Role   `json:"role"`
	UserID      string `json:"userId"`
	RoomID      string `json:"roomId"`
	IPAddress   string `json:"ipAddress"`
	TokenIssued Date   `json:"tokenIssued"`
	ValidFrom   Date   `json:"validFrom"`
	ValidTo     Date   `json:"validTo"` // from here on the client is not entitled to anything
	Extra       Fields `json:"-"`
}

// A Date is a point in time as the text of whoami has it, whose format the protocol
// document leaves open. This package writes RFC 3339. The zero Date is none.
type Date string

// NewDate returns the Date of t, in UTC and whole seconds; of the zero time it is none.
func NewDate(t time.Time) Date {
	if t.IsZero() {
		return ""
	}
	return Date(t.UTC().Format(time.RFC3339))
}

// Time returns the point in time, and false for a Date that is none or of an unknown
// format. Known are RFC 3339 and what Date.toUTCString and Date.toString of JavaScript
// return.
func (d Date) Time() (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, utcString, "Mon Jan 02 2006 15:04:05 GMT-0700"} {
		text := string(d)
		if n := len(layout); layout[0] == 'M' && layout[3] == ' ' && len(text) > n {
			text = text[:n] // the name of the time zone follows
		}
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// utcString is RFC 1123 in GMT. The names of other time zones do not tell the offset.
const utcString = "Mon, 02 Jan 2006 15:04:05 GMT"

// The years 1 and 9999: RFC 3339 writes no more than those. Milliseconds, taken for
// seconds, lie beyond them.
const firstSecond, lastSecond = -62135596800, 253402300799

// UnmarshalJSON reads a string as it is, a number as the seconds since 1970 that JSON Web
// Tokens have, and null as none.
func (d *Date) UnmarshalJSON(data []byte) error {
	if jsonx.IsNull(data) {
		*d = ""
		return nil
	}
	if text, ok := jsonx.Text(data); ok {
		*d = Date(text)
		return nil
	}
	var seconds float64
	if err := json.Unmarshal(data, &seconds); err != nil {
		return jsonx.ErrType
	}
	if seconds < firstSecond || seconds > lastSecond {
		return jsonx.ErrRange
	}
	*d = NewDate(time.Unix(int64(seconds), 0))
	return nil
}

// String names the user, for logs.
func (i *Identity) String() string {
	return fmt.Sprintf("%s %s of room %s in domain %s", i.Role, i.UserID, i.RoomID, i.Domain)
}

// Identity returns the result of whoami. The error is an [*UnexpectedResultError].
func (m *Response) Identity() (*Identity, error) {
	i := new(Identity)
	if err := jsonx.Unmarshal(m.Result, i); err != nil || m.Error != nil {
		return nil, &UnexpectedResultError{Type: "whoami", Result: m.Result}
	}
	return i, nil
}
