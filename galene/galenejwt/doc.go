// Package galenejwt signs and checks the JSON Web Tokens (RFC 7519) with which users join
// groups of Galène.
//
// An authorisation server or a portal signs with a key that the group's file lists under
// authKeys:
//
//	key, err := galenejwt.NewKey(galenejwt.HS256, "2026-01")
//	...
//	token, err := key.Sign(&galenejwt.Claims{
//		Subject:     "ada",
//		Audience:    []string{"https://galene.example.org/group/lectures/"},
//		Permissions: galene.Permissions{galene.PermissionPresent, galene.PermissionMessage},
//		ExpiresAt:   time.Now().Add(time.Minute),
//	})
//
// The user then joins with the token, or opens the URL of the group with "?token=" and the
// token behind it. A server checks it with a [Verifier]; package galenegroup does so for
// the files of Galène.
//
// # What a token says
//
//	sub                the user's name; without it users choose one
//	aud                URLs of groups, a text or an array of texts
//	permissions        what the user may do; without it nothing but listen
//	include-subgroups  whether the groups below those of aud are meant, too
//	exp                required
//	nbf, iat           must not lie in the future
//
// Of a URL in aud the path must be that of the group with its last slash, such as
// /group/lectures/, and with include-subgroups it may be one above it. The path /group/
// then means every group. The host counts only with [Options.Host].
//
// # What is refused
//
// A [Key] is bound to one algorithm, so that a token cannot choose how it is verified, and
// "none" is never taken. A token with a kid is verified with the keys of that ID alone, one
// without with all keys of its algorithm. Keys inside a token, and addresses of keys, are
// ignored.
//
// Beyond that, a token is refused when it is too long, not in the compact form or not
// encoded strictly; when its header or its claims are not a JSON object under the rules of
// package galene (exact names, no duplicates, valid UTF-8, 64 levels); when its header has
// crit; when a claim has another type than it should; and when a date is before 1970 or
// after the year 9998. Fractions of seconds are dropped. Clocks may differ by [Leeway].
//
// Galène itself takes a name twice, and an include-subgroups that is no boolean for false.
package galenejwt
