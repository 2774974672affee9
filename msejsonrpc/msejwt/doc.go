// Package msejwt checks the tokens with which clients of MSE JSON-RPC authenticate, and
// signs them: JSON Web Tokens (RFC 7519), read as RFC 8725 advises.
//
//	verifier, err := msejwt.New(&msejwt.Options{Keys: []msejwt.Key{key}, Audience: "media"})
//	...
//	server := msejsonrpc.NewServer(&msejsonrpc.ServerOptions{Authenticate: verifier.Authenticate})
//
// The protocol document says that auth carries a JWT and that whoami tells what is in it,
// but not what its claims are called. Here they have the names of whoami:
//
//	claim             Identity
//	domain, agent     Domain, Agent: any text
//	role              Role: "user", "admin" or "super", see [Options.Roles]
//	userId, or sub    UserID, required
//	roomId            RoomID
//	iat, nbf          TokenIssued, ValidFrom
//	exp               ValidTo, required, see [Options.AllowNoExpiry]
//
// [Options.Names] has other names, for a token service that is there already.
//
// # What is refused
//
// A [Key] is bound to one algorithm, so that a token cannot choose how it is verified: it
// is refused when its header says another one, and "none" is never taken. A token with a
// kid is verified with the key of that ID alone, one without with the only key of its
// algorithm. Keys inside a token, and addresses of keys, are ignored.
//
// Beyond that, a token is refused when it is too long, not in the compact form or not
// encoded strictly; when its header or its claims are not a JSON object under the rules of
// package msejsonrpc (exact names, no duplicates, valid UTF-8, 64 levels); when its header
// has crit, because this package knows no extension; when a claim has another type than it
// should, null included; and when a date is before 1970 or after the year 9998. Fractions
// of seconds are dropped.
//
// The client hears of each of these as [msejsonrpc.ErrAuthorizationFailed] and of no
// reason. The reason is in the error, see [RefusedError], and in [Options.Logger].
package msejwt
