package capture

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// secretParts are parts of the names of what is secret in any of the protocols, in lower case
// and without what stands between words.
var secretParts = []string{
	"password", "passwd", "passphrase", "token", "credential", "secret", "authori", "cookie", "apikey", "authkey",
	"xauth", "easyrtcsid", "roomparameter", "appdata",
}

// secretNames are such names as a whole. Who has the sid of an open session has the session;
// it has no other name.
var secretNames = []string{"sid", "auth", "jwt", "pwd", "pass", "bearer"}

// SecretName reports whether what has a name is secret: a member of a message, a header, or
// what stands in an address.
func SecretName(name string) bool {
	name = strings.ToLower(name)
	if strings.ContainsAny(name, "-_") {
		name = strings.NewReplacer("-", "", "_", "").Replace(name)
	}
	return slices.Contains(secretNames, name) ||
		slices.ContainsFunc(secretParts, func(part string) bool { return strings.Contains(name, part) })
}

// SecretBody reports whether all that an address takes and gives is secret: passwords as
// they are, keys, and lists of tokens, at which Galène's administrators look.
func SecretBody(address string) bool {
	path, _, _ := strings.Cut(address, "?")
	if !strings.Contains(path, "/.") && !strings.Contains(path, "%") {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if plain, err := url.PathUnescape(segment); err == nil {
			segment = plain
		}
		if segment == ".password" || segment == ".keys" || segment == ".tokens" {
			return true
		}
	}
	return false
}

// parameters finds those in the queries of addresses, wherever these stand: their names and
// values. In JSON the & between them may be escaped. Tokens have a place in paths as well.
var parameters = regexp.MustCompile(`(?:[?&]|\\u0026)([^=&?\s"'<>\\#]{1,200})=([^&\s"'<>\\#]+)` +
	`|/\.tokens/([^/?#\s"'<>\\]+)`)

// HideInText returns a text with what is secret in the addresses that are in it replaced by
// what hide returns for it.
func HideInText(text string, hide func(secret string) string) string {
	if !strings.ContainsAny(text, "=/") {
		return text
	}
	var b strings.Builder
	at := 0
	for _, m := range parameters.FindAllStringSubmatchIndex(text, -1) {
		from, to := m[6], m[7]
		if m[2] >= 0 {
			name := text[m[2]:m[3]]
			plain, err := url.QueryUnescape(name)
			if err == nil && !SecretName(plain) && plain != "key" {
				continue
			}
			from, to = m[4], m[5]
		}
		b.WriteString(text[at:from])
		b.WriteString(hide(text[from:to]))
		at = to
	}
	if at == 0 {
		return text
	}
	b.WriteString(text[at:])
	return b.String()
}
