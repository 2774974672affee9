package capture

import (
	"net/url"
	"regexp"
	"strings"
)

// SessionInURL returns the id of an Engine.IO session in the query of an address, "" if there
// is none.
func SessionInURL(address string) string {
	_, query, _ := strings.Cut(address, "?")
	for member := range strings.SplitSeq(query, "&") {
		if value, ok := strings.CutPrefix(member, "sid="); ok {
			if plain, err := url.QueryUnescape(value); err == nil {
				return plain
			}
		}
	}
	return ""
}

// handshakeStart is how far into a body the id of a session is looked for.
const handshakeStart = 4096

// handshake finds the id in the first answer of a polling Engine.IO server: as it is, after
// the lengths of revision 3 in digits or bytes, or in a string of JavaScript. That of Socket.IO
// comes after a 4.
var handshake = regexp.MustCompile(`(?:^|[^0-9])0\{(?:[^{}]*,)?\\?"sid\\?":\\?"([^"\\]+)\\?"`)

// SessionInBody returns the id that the first answer of an Engine.IO server to a polling
// client gives to the session, "" if there is none.
func SessionInBody(body []byte) string {
	if m := handshake.FindSubmatch(body[:min(len(body), handshakeStart)]); m != nil {
		return string(m[1])
	}
	return ""
}
