// Package galenegroup reads the groups of Galène from its files, for a [galene.Server]:
//
//	groups, err := galenegroup.Open("groups", nil)
//	...
//	tokens, err := galenegroup.OpenTokens("data/var/tokens.jsonl")
//	...
//	server := galene.NewServer(&galene.ServerOptions{Groups: groups, Tokens: tokens})
//
// A group is a file: the group lectures/logic is lectures/logic.json in the folder, a
// [Description] as JSON. A change of the file counts from the next join on. A group without
// a file exists where the nearest one above it has auto-subgroups. The files of Galène
// before 0.9, with op, presenter and other, are read as well.
//
// # Who may join
//
// A user of the group's file gives that password, everybody else the one of wildcard-user,
// if there is one. Instead of a password anybody may show a JSON Web Token that one of the
// group's authKeys has signed, see package galenejwt. If it names no user, the user chooses
// a name that the file does not list.
//
// A refusal does not tell an unknown user from a wrong password, in its text nor in its
// time: for each kind of password in a group's file, every attempt hashes once. As many
// attempts at once do so as there are processors, the others wait.
//
// # Stricter than Galène
//
// A file is refused, with a text that says where and why, when it is no JSON object under
// the rules of package galene (exact names, no duplicates, valid UTF-8), when it has a
// member that Galène does not know, at any level, and when a password or a key in it could
// never match, or always would. Galène finds some of that when somebody joins, and takes a
// pbkdf2 password with an empty key for any password. allow-anonymous, which Galène
// ignores, is ignored.
//
// Names are at most [MaxNameBytes] long, in at most [MaxNameDepth] elements, and no element
// begins with a dot: other groups do not exist.
package galenegroup
