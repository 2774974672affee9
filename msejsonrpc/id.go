package msejsonrpc

import (
	"bytes"
	"strconv"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// An ID is the id of a message as it stands on the wire: a number, a string, null or
// nothing. It is echoed token for token, because 1, 1.0 and 12345678901234567890 must
// come back as they were sent. IDs are compared with ==, by their tokens. The zero ID is
// null, which is what the protocol document writes in notifications.
type ID struct {
	n     uint64 // when not 0: the token is this number, in its shortest form
	token string // otherwise: the token, "" for null
}

var (
	// NullID is the id of a notification, and of errors that answer nothing in
	// particular.
	NullID = ID{}
	// AbsentID is that of a message without the member. It means the same as NullID.
	AbsentID = ID{token: absent}
)

const absent = "absent" // no JSON token

// NumberID returns the id of a request as the protocol document numbers them.
func NumberID(n uint64) ID {
	if n == 0 {
		return ID{token: "0"}
	}
	return ID{n: n}
}

// StringID returns an id that is a string, which JSON-RPC 2.0 allows. What is not UTF-8
// in it is replaced.
func StringID(s string) ID {
	b, _ := jsonx.AppendString(nil, s) // fails after replacing it
	return ID{token: string(b)}
}

// ParseID reads an id from its JSON token: a number, a string or null. An empty token is
// [AbsentID]. White space around a token is no part of it. It reports false for anything
// else.
func ParseID(token []byte) (id ID, ok bool) {
	if len(token) == 0 {
		return AbsentID, true
	}
	if jsonx.Check(token) != nil {
		return ID{}, false
	}
	return parseID(bytes.Trim(token, " \t\r\n"))
}

// parseID is [ParseID] for checked JSON.
func parseID(token []byte) (id ID, ok bool) {
	switch c := token[0]; {
	case c == 'n':
		return NullID, true
	case c == '"':
		return ID{token: string(token)}, true
	case c == '-' || '0' <= c && c <= '9':
		if n, ok := shortest(token); ok {
			return ID{n: n}, true
		}
		return ID{token: string(token)}, true
	}
	return ID{}, false
}

// shortest returns the value of a number that strconv would write the same way.
func shortest(token []byte) (n uint64, ok bool) {
	if token[0] == '0' || token[0] == '-' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(token), 10, 64)
	return n, err == nil
}

// IsNotification reports whether the id asks for no answer: null or absent.
func (id ID) IsNotification() bool { return id == NullID || id == AbsentID }

// Number returns the value of a number that is a positive integer in its shortest form.
func (id ID) Number() (n uint64, ok bool) { return id.n, id.n != 0 }

// String returns the token, "null", or "" for [AbsentID].
func (id ID) String() string {
	if id == AbsentID {
		return ""
	}
	return string(id.append(nil))
}

// append appends the token of an id that is not absent.
func (id ID) append(dst []byte) []byte {
	switch {
	case id.n != 0:
		return strconv.AppendUint(dst, id.n, 10)
	case id.token == "":
		return append(dst, "null"...)
	}
	return append(dst, id.token...)
}
