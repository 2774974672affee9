package galenegroup

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenejwt"
	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// A Description is the content of a group's file. The comments name the members of the
// JSON object where they are called otherwise.
type Description struct {
	DisplayName string // for people
	Description string
	Contact     string
	Comment     string // for those who edit the file
	Public      bool   // whether the group is listed
	Redirect    string // URL; the group is elsewhere

	MaxClients    int           // max-clients; operators pass; 0 is any number
	MaxHistoryAge time.Duration // max-history-age, in seconds; 0 means 4 hours
	Expires       time.Time     // the zero time is never
	NotBefore     time.Time     // not-before

	AllowRecording     bool // allow-recording
	UnrestrictedTokens bool // unrestricted-tokens: who may present may also invite
	AutoSubgroups      bool // auto-subgroups: groups below this one need no file
	Autolock           bool // when the last operator leaves
	Autokick           bool // everybody, when the last operator leaves

	Users        map[string]User // by name
	WildcardUser *User           // wildcard-user: everybody else; nil refuses them

	AuthKeys   []galenejwt.Key // who signs tokens
	AuthServer string          // URL
	AuthPortal string          // URL
	Codecs     []string        // that may be sent; nil for the default
}

// A User is what somebody needs to join a group, and what he may do there.
type User struct {
	Password    Password
	Permissions Permissions
}

// Permissions are those of a user: a named set, which depends on the group, or a list.
type Permissions struct {
	Set  string // "op", "present", "message", "observe", "caption" or "admin"
	List galene.Permissions
}

// in returns the permissions in a group.
func (p Permissions) in(g *galene.Group) galene.Permissions {
	if p.Set == "" {
		return slices.Clone(p.List)
	}
	set, _ := g.PermissionSet(p.Set)
	return set
}

var errPermission = errors.New("unknown permission")

// UnmarshalJSON reads the name of a set, or a list.
func (p *Permissions) UnmarshalJSON(data []byte) error {
	if text, ok := jsonx.Text(data); ok {
		*p = Permissions{Set: string(text)}
		return p.check()
	}
	var list []*galene.Permission // null is none
	if err := json.Unmarshal(data, &list); err != nil {
		return errJSONType
	}
	*p = Permissions{List: make(galene.Permissions, 0, len(list))}
	for _, permission := range list {
		if permission == nil {
			return errJSONType
		}
		p.List = append(p.List, *permission)
	}
	return nil
}

func (p Permissions) check() error {
	if p.Set == "" && p.List != nil {
		return nil
	}
	if _, ok := new(galene.Group).PermissionSet(p.Set); !ok || p.List != nil {
		return errPermission
	}
	return nil
}

// MarshalJSON writes the name of the set or the list.
func (p Permissions) MarshalJSON() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if p.Set != "" {
		return jsonx.AppendString(nil, p.Set)
	}
	return json.Marshal([]galene.Permission(p.List))
}

// fields are members that a file may not have.
type fields map[string]json.RawMessage

func (f fields) none() error {
	for _, name := range slices.Sorted(maps.Keys(f)) {
		return fmt.Errorf("unknown member %.64q", name)
	}
	return nil
}

// A wireDescription is a Description as it stands in a file.
type wireDescription struct {
	DisplayName        string              `json:"displayName,omitempty"`
	Description        string              `json:"description,omitempty"`
	Contact            string              `json:"contact,omitempty"`
	Comment            string              `json:"comment,omitempty"`
	Public             bool                `json:"public,omitzero"`
	Redirect           string              `json:"redirect,omitempty"`
	MaxClients         int                 `json:"max-clients,omitzero"`
	MaxHistoryAge      int64               `json:"max-history-age,omitzero"`
	Expires            time.Time           `json:"expires,omitzero"`
	NotBefore          time.Time           `json:"not-before,omitzero"`
	AllowRecording     bool                `json:"allow-recording,omitzero"`
	UnrestrictedTokens bool                `json:"unrestricted-tokens,omitzero"`
	AutoSubgroups      bool                `json:"auto-subgroups,omitzero"`
	Autolock           bool                `json:"autolock,omitzero"`
	Autokick           bool                `json:"autokick,omitzero"`
	Users              map[string]wireUser `json:"users,omitempty"`
	WildcardUser       *wireUser           `json:"wildcard-user,omitempty"`
	AuthKeys           []json.RawMessage   `json:"authKeys,omitempty"`
	AuthServer         string              `json:"authServer,omitempty"`
	AuthPortal         string              `json:"authPortal,omitempty"`
	Codecs             []string            `json:"codecs,omitempty"`

	// Of before 0.9.
	Op             []wirePattern `json:"op,omitempty"`
	Presenter      []wirePattern `json:"presenter,omitempty"`
	Other          []wirePattern `json:"other,omitempty"`
	AllowSubgroups bool          `json:"allow-subgroups,omitzero"`
	AllowAnonymous bool          `json:"allow-anonymous,omitzero"`

	Extra fields
}

type wireUser struct {
	Password    Password     `json:"password,omitzero"`
	Permissions *Permissions `json:"permissions,omitempty"`
	Extra       fields
}

// A wirePattern is a user of an old file. Without a name it is everybody else, without a
// password any will do.
type wirePattern struct {
	Username string    `json:"username,omitempty"`
	Password *Password `json:"password,omitempty"`
	Extra    fields
}

// ParseDescription reads a group's file. The error says where it is wrong, and holds
// nothing of it but names.
func ParseDescription(data []byte) (*Description, error) {
	d, err := parseDescription(data)
	if err != nil {
		return nil, fmt.Errorf("galenegroup: description: %w", err)
	}
	return d, nil
}

// maxSeconds of a history are as many as a Duration holds.
const maxSeconds = math.MaxInt64 / int64(time.Second)

func parseDescription(data []byte) (*Description, error) {
	var w wireDescription
	if err := jsonx.Unmarshal(data, &w); err != nil {
		return nil, err
	}
	if err := w.Extra.none(); err != nil {
		return nil, err
	}
	if w.MaxHistoryAge > maxSeconds || w.MaxHistoryAge < -maxSeconds {
		return nil, errors.New("max-history-age: out of range")
	}
	d := &Description{
		DisplayName: w.DisplayName, Description: w.Description, Contact: w.Contact, Comment: w.Comment,
		Public: w.Public, Redirect: w.Redirect,
		MaxClients: w.MaxClients, MaxHistoryAge: time.Duration(w.MaxHistoryAge) * time.Second,
		Expires: w.Expires, NotBefore: w.NotBefore,
		AllowRecording: w.AllowRecording, UnrestrictedTokens: w.UnrestrictedTokens,
		AutoSubgroups: w.AutoSubgroups || w.AllowSubgroups, Autolock: w.Autolock, Autokick: w.Autokick,
		AuthServer: w.AuthServer, AuthPortal: w.AuthPortal, Codecs: w.Codecs,
	}
	if err := d.readUsers(&w); err != nil {
		return nil, err
	}
	for i, jwk := range w.AuthKeys {
		k, err := galenejwt.ParseKey(jwk)
		if err != nil {
			return nil, fmt.Errorf("authKeys[%d]: %w", i, err)
		}
		d.AuthKeys = append(d.AuthKeys, k)
	}
	return d, nil
}

func (d *Description) readUsers(w *wireDescription) error {
	for _, name := range slices.Sorted(maps.Keys(w.Users)) {
		u, err := w.Users[name].user()
		if err != nil {
			return fmt.Errorf("users[%.64q]: %w", name, err)
		}
		d.addUser(name, u)
	}
	if w.WildcardUser != nil {
		u, err := w.WildcardUser.user()
		if err != nil {
			return fmt.Errorf("wildcard-user: %w", err)
		}
		d.WildcardUser = &u
	}
	for _, old := range []struct {
		member, set string
		users       []wirePattern
	}{{"op", "op", w.Op}, {"presenter", "present", w.Presenter}, {"other", "message", w.Other}} {
		for i, p := range old.users {
			if err := p.Extra.none(); err != nil {
				return fmt.Errorf("%s[%d]: %w", old.member, i, err)
			}
			d.addPattern(p, Permissions{Set: old.set})
		}
	}
	return nil
}

func (w wireUser) user() (User, error) {
	u := User{Password: w.Password}
	if w.Permissions != nil {
		u.Permissions = *w.Permissions
	}
	return u, w.Extra.none()
}

func (d *Description) addUser(name string, u User) {
	if d.Users == nil {
		d.Users = make(map[string]User)
	}
	d.Users[name] = u
}

// addPattern adds a user of an old file. Of two for one name the first one holds.
func (d *Description) addPattern(p wirePattern, permissions Permissions) {
	u := User{Password: Password{Type: PasswordWildcard}, Permissions: permissions}
	if p.Password != nil {
		u.Password = *p.Password
	}
	if p.Username == "" {
		if d.WildcardUser == nil {
			d.WildcardUser = &u
		}
		return
	}
	if _, ok := d.Users[p.Username]; !ok {
		d.addUser(p.Username, u)
	}
}

// MarshalJSON writes the description as [ParseDescription] reads it, with the public halves
// of the keys. The passwords are in it.
func (d *Description) MarshalJSON() ([]byte, error) {
	w := &wireDescription{
		DisplayName: d.DisplayName, Description: d.Description, Contact: d.Contact, Comment: d.Comment,
		Public: d.Public, Redirect: d.Redirect,
		MaxClients: d.MaxClients, MaxHistoryAge: int64(d.MaxHistoryAge / time.Second),
		Expires: d.Expires, NotBefore: d.NotBefore,
		AllowRecording: d.AllowRecording, UnrestrictedTokens: d.UnrestrictedTokens,
		AutoSubgroups: d.AutoSubgroups, Autolock: d.Autolock, Autokick: d.Autokick,
		AuthServer: d.AuthServer, AuthPortal: d.AuthPortal, Codecs: d.Codecs,
	}
	if d.Users != nil {
		w.Users = make(map[string]wireUser, len(d.Users))
	}
	for name, u := range d.Users {
		w.Users[name] = u.wire()
	}
	if d.WildcardUser != nil {
		u := d.WildcardUser.wire()
		w.WildcardUser = &u
	}
	for _, k := range d.AuthKeys {
		jwk, err := k.Public().JWK()
		if err != nil {
			return nil, err
		}
		w.AuthKeys = append(w.AuthKeys, jwk)
	}
	b, err := jsonx.Append(nil, "", "", w)
	if err != nil {
		return nil, fmt.Errorf("galenegroup: description: %w", err)
	}
	return b, nil
}

func (u User) wire() wireUser {
	w := wireUser{Password: u.Password}
	if u.Permissions.Set != "" || u.Permissions.List != nil {
		w.Permissions = &u.Permissions
	}
	return w
}

// group returns the description for a server, of the group that the file is for or of one
// below it.
func (d *Description) group(name string, subgroup bool) *galene.Group {
	g := &galene.Group{
		Name: name, DisplayName: d.DisplayName, Description: d.Description, Contact: d.Contact,
		Public: d.Public, Redirect: d.Redirect,
		MaxClients: d.MaxClients, HistoryAge: d.MaxHistoryAge, NotBefore: d.NotBefore, Expires: d.Expires,
		AllowRecording: d.AllowRecording, UnrestrictedTokens: d.UnrestrictedTokens, AutoSubgroups: d.AutoSubgroups,
		Autolock: d.Autolock, Autokick: d.Autokick,
		AuthServer: d.AuthServer, AuthPortal: d.AuthPortal, Codecs: slices.Clone(d.Codecs),
		Users: slices.Sorted(maps.Keys(d.Users)),
	}
	if subgroup {
		g.Public, g.Description = false, ""
	}
	return g
}
