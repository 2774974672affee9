package galene

import (
	"context"
	"crypto/subtle"
	"slices"
	"time"
)

// A Group describes a group, as its file does in Galène.
type Group struct {
	Name        string // set by the server
	DisplayName string
	Description string
	Contact     string
	Public      bool   // shown to those who are not in it
	Redirect    string // URL; the group is elsewhere

	MaxClients int           // operators pass; 0 is any number
	HistoryAge time.Duration // of chat messages; 0 means 4 hours
	NotBefore  time.Time     // the zero time: always open
	Expires    time.Time     // the zero time: never closed

	AllowRecording     bool // operators may record
	UnrestrictedTokens bool // who may present may also invite
	AutoSubgroups      bool // "a/b" exists where "a" does
	Autolock           bool // when the last operator leaves
	Autokick           bool // everybody, when the last operator leaves

	AuthServer, AuthPortal string   // URLs, for clients
	CanChangePassword      bool     // for clients
	Codecs                 []string // that may be sent, as a MediaRouter understands them; nil for its default

	// Users are the names that nobody else may take: those that have credentials of
	// their own.
	Users []string
}

// equal reports whether two descriptions say the same.
func (g *Group) equal(other *Group) bool {
	if g == other {
		return true
	}
	a, b := *g, *other
	same := slices.Equal(a.Codecs, b.Codecs) && slices.Equal(a.Users, b.Users) &&
		a.NotBefore.Equal(b.NotBefore) && a.Expires.Equal(b.Expires)
	return same && a.flat() == b.flat()
}

// flat returns what of a description == compares.
func (g *Group) flat() [12]any {
	return [...]any{
		g.Name, [3]string{g.DisplayName, g.Description, g.Contact}, g.Public, g.Redirect, g.MaxClients, g.HistoryAge,
		g.AllowRecording, g.UnrestrictedTokens, [2]bool{g.Autolock, g.Autokick}, g.AuthServer, g.AuthPortal, g.CanChangePassword,
	}
}

// Credentials are what a client joins a group with.
type Credentials struct {
	Username *string // nil with a token that names the user
	Password string
	Token    string // if there is one, the password means nothing
}

// A Grant says who a client is in a group and what it may do.
type Grant struct {
	Username    string
	Permissions Permissions
}

// A GroupStore has the groups of a server and knows who may join them. Its methods are
// called concurrently and under no lock, and may take their time: only the client that
// asks waits. Package galenegroup has one for the files of Galène; [Groups] is one in
// memory.
type GroupStore interface {
	// Group returns the description of a group, which the store must not change any
	// more, or [ErrNoGroup]. The name is a [ValidName]. It is called for each join, so a
	// change of the description is told to the members when somebody joins; see also
	// [Server.Update].
	Group(ctx context.Context, name string) (*Group, error)
	// Authenticate decides about the credentials of a client for a group. An [*Error]
	// goes to the client as it is: [ErrNotAuthorised], [ErrNeedUsername] or
	// [ErrDuplicateUsername]. Tokens that the server has made do not come here.
	Authenticate(ctx context.Context, g *Group, c Credentials) (*Grant, error)
	// Names returns the groups that have a description of their own, in any order.
	Names(ctx context.Context) ([]string, error)
}

// A TokenStore keeps the tokens that a server makes for its users. Its methods are called
// concurrently and under no lock. [Tokens] is one in memory.
type TokenStore interface {
	// Token returns a token by its name, or [ErrNoToken].
	Token(ctx context.Context, token string) (*Token, error)
	// Put stores a token, in place of that of the same name.
	Put(ctx context.Context, t *Token) error
	// List returns the tokens of a group, those that expire first before the others.
	List(ctx context.Context, group string) ([]*Token, error)
}

// ErrNoToken: there is no token of that name. The text is Galène's.
var ErrNoToken = &Error{ID: ErrorOther, Text: "file does not exist"}

// Named sets of permissions, as the files of Galène have them.
var permissionSets = map[string]Permissions{
	"op":      {PermissionOp, PermissionPresent, PermissionMessage, PermissionCaption, PermissionToken},
	"present": {PermissionPresent, PermissionMessage},
	"message": {PermissionMessage},
	"observe": {},
	"caption": {PermissionCaption},
	"admin":   {PermissionAdmin},
}

// PermissionSet returns the permissions of a named set, "op", "present", "message",
// "observe", "caption" or "admin", in this group, whose description adds some.
func (g *Group) PermissionSet(name string) (Permissions, bool) {
	set, ok := permissionSets[name]
	if !ok {
		return nil, false
	}
	set = slices.Clone(set)
	if g.AllowRecording && set.Has(PermissionOp) {
		set = slices.Insert(set, 0, PermissionRecord)
	}
	if g.UnrestrictedTokens && set.Has(PermissionPresent) && !set.Has(PermissionToken) {
		set = slices.Insert(set, 0, PermissionToken)
	}
	return set, true
}

// Groups is a [GroupStore] in memory, by name. It must not be changed while a server uses
// it.
type Groups map[string]*MemoryGroup

// A MemoryGroup is a group with its users.
type MemoryGroup struct {
	Group
	Users    map[string]MemoryUser // by name
	Wildcard *MemoryUser           // for every other name; nil refuses them
}

// A MemoryUser is what a user of a [MemoryGroup] needs and has.
type MemoryUser struct {
	Password    string      // compared in constant time
	AnyPassword bool        // then Password means nothing
	Set         string      // a name for [Group.PermissionSet]
	Permissions Permissions // in addition to those of Set
}

// Group returns a group by its name, or with AutoSubgroups by that of a group above it.
func (s Groups) Group(_ context.Context, name string) (*Group, error) {
	above, ok := s.find(name)
	if !ok {
		return nil, ErrNoGroup
	}
	g := above.Group
	if s[name] == nil {
		g.Description, g.Public = "", false // as in Galène
	}
	g.Name, g.Users = name, make([]string, 0, len(above.Users))
	for username := range above.Users {
		g.Users = append(g.Users, username)
	}
	slices.Sort(g.Users)
	return &g, nil
}

func (s Groups) find(name string) (*MemoryGroup, bool) {
	if g, ok := s[name]; ok {
		return g, true
	}
	for i := len(name) - 1; i > 0; i-- {
		if name[i] != '/' {
			continue
		}
		if g, ok := s[name[:i]]; ok {
			return g, g.AutoSubgroups
		}
	}
	return nil, false
}

// Authenticate compares a password. It takes no tokens.
func (s Groups) Authenticate(_ context.Context, g *Group, c Credentials) (*Grant, error) {
	group, ok := s.find(g.Name)
	if !ok || c.Username == nil || c.Token != "" {
		return nil, ErrNotAuthorised
	}
	u, ok := group.Users[*c.Username]
	if !ok && group.Wildcard != nil {
		u, ok = *group.Wildcard, true
	}
	right := subtle.ConstantTimeCompare([]byte(u.Password), []byte(c.Password)) == 1 || u.AnyPassword
	if !ok || !right {
		return nil, ErrNotAuthorised
	}
	permissions, _ := g.PermissionSet(u.Set)
	for _, p := range u.Permissions {
		if !permissions.Has(p) {
			permissions = append(permissions, p)
		}
	}
	return &Grant{Username: *c.Username, Permissions: permissions}, nil
}

// Names returns the names in their order.
func (s Groups) Names(context.Context) ([]string, error) {
	names := make([]string, 0, len(s))
	for name := range s {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}
