package galene

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// A JoinKind says what a [Join] is about.
type JoinKind string

// The kinds of [Join].
const (
	JoinJoin JoinKind = "join"
	// JoinLeave leaves the group and keeps the connection. Clients close the connection
	// instead, see [Client.Leave].
	JoinLeave JoinKind = "leave"
)

// A JoinedKind says what a [Joined] is about.
type JoinedKind string

// The kinds of [Joined].
const (
	JoinedJoin     JoinedKind = "join"
	JoinedFail     JoinedKind = "fail"     // the connection stays, and may try again
	JoinedRedirect JoinedKind = "redirect" // Value is the URL of the group
	JoinedLeave    JoinedKind = "leave"
	JoinedChange   JoinedKind = "change" // of permissions, lock, data or description
)

// A UserKind says what has happened to a user.
type UserKind string

// The kinds of [User].
const (
	UserAdd    UserKind = "add"
	UserChange UserKind = "change" // permissions and data are replaced
	UserDelete UserKind = "delete"
)

// A ChatKind says how a [Chat] is shown. Others than these are free for applications.
type ChatKind string

// The kinds of [Chat].
const (
	ChatPlain   ChatKind = ""
	ChatMe      ChatKind = "me"      // the sender speaks of itself in the third person
	ChatCaption ChatKind = "caption" // what is being said; needs PermissionCaption
)

// A UserMessageKind says what a [UserMessage] is. Others than these are free for
// applications.
type UserMessageKind string

// The kinds of [UserMessage].
const (
	UserMessageError        UserMessageKind = "error"
	UserMessageWarning      UserMessageKind = "warning"
	UserMessageInfo         UserMessageKind = "info"
	UserMessageKicked       UserMessageKind = "kicked"       // from the server: the connection ends
	UserMessageMute         UserMessageKind = "mute"         // stop sending sound
	UserMessageClearChat    UserMessageKind = "clearchat"    // from the server, see [ClearChat]
	UserMessageToken        UserMessageKind = "token"        // from the server: a [Token]
	UserMessageTokenList    UserMessageKind = "tokenlist"    // from the server: all of a group
	UserMessageUserInfo     UserMessageKind = "userinfo"     // from the server: a [UserInfo]
	UserMessageFileTransfer UserMessageKind = "filetransfer" // between two users: a [FileTransfer]
)

// A UserActionKind says what a [UserAction] does.
type UserActionKind string

// The kinds of [UserAction]. All but ActionSetData need [PermissionOp].
const (
	UserOp        UserActionKind = "op" // and unop: PermissionOp, and PermissionRecord where recording is allowed
	UserUnop      UserActionKind = "unop"
	UserPresent   UserActionKind = "present" // and unpresent: PermissionPresent
	UserUnpresent UserActionKind = "unpresent"
	UserShutUp    UserActionKind = "shutup" // and unshutup: PermissionMessage
	UserUnshutUp  UserActionKind = "unshutup"
	UserKick      UserActionKind = "kick"     // Value: a text for the user, may be absent
	UserIdentify  UserActionKind = "identify" // answered with UserMessageUserInfo
	UserSetData   UserActionKind = "setdata"  // of oneself; Value: an object, null deletes a member
)

// A GroupActionKind says what a [GroupAction] does.
type GroupActionKind string

// The kinds of [GroupAction].
const (
	GroupClearChat  GroupActionKind = "clearchat" // Value: a [ClearChat], absent for everything
	GroupLock       GroupActionKind = "lock"      // Value: what those hear who cannot join, may be absent
	GroupUnlock     GroupActionKind = "unlock"
	GroupRecord     GroupActionKind = "record" // and unrecord: needs PermissionRecord
	GroupUnrecord   GroupActionKind = "unrecord"
	GroupSubgroups  GroupActionKind = "subgroups" // answered with a Chat from "Server"
	GroupSetData    GroupActionKind = "setdata"   // Value: an object, null deletes a member
	GroupMakeToken  GroupActionKind = "maketoken" // Value: a [TokenRequest]; answered with UserMessageToken
	GroupEditToken  GroupActionKind = "edittoken"
	GroupListTokens GroupActionKind = "listtokens" // answered with UserMessageTokenList
)

// A TrackKind says which track of a stream is wanted.
type TrackKind string

// The kinds of tracks in [Request].
const (
	TrackAudio    TrackKind = "audio"
	TrackVideo    TrackKind = "video"
	TrackVideoLow TrackKind = "video-low" // the smallest encoding of the video
)

// A Permission is what a user may do.
type Permission string

// The permissions.
const (
	PermissionOp      Permission = "op"      // everything that [UserAction] and [GroupAction] say
	PermissionPresent Permission = "present" // offer streams
	PermissionMessage Permission = "message" // chat, and user messages of any kind
	PermissionCaption Permission = "caption" // chat of kind caption
	PermissionToken   Permission = "token"   // invite others
	PermissionRecord  Permission = "record"
	PermissionAdmin   Permission = "admin"  // change the group's description over HTTP
	PermissionSystem  Permission = "system" // the recorder's
)

// Permissions are a set; their order means nothing. Old servers write an object of
// booleans, which is read as well.
type Permissions []Permission

// Has reports whether a permission is among them.
func (p Permissions) Has(permission Permission) bool { return slices.Contains(p, permission) }

// An ErrorID names an error to programs. Most errors have none.
type ErrorID string

// The identifiers of errors.
const (
	ErrorNeedUsername      ErrorID = "need-username"      // join again with a user name
	ErrorDuplicateUsername ErrorID = "duplicate-username" // the user name is a listed user's
	ErrorNotAuthorised     ErrorID = "not-authorised"     // of a token action
	ErrorOther             ErrorID = "error"              // of a token action
)

// A Time is when the server took a message: RFC 3339, in version 2 of the protocol in
// whole seconds. The milliseconds of version 1 are read as well.
type Time string

// NewTime returns a time as servers write it.
func NewTime(t time.Time) Time { return Time(t.Format(time.RFC3339)) }

// Time returns the time, and false when it is none.
func (t Time) Time() (time.Time, bool) {
	parsed, err := time.Parse(time.RFC3339, string(t))
	return parsed, err == nil
}

// fromMillis reads the time of version 1.
func fromMillis(digits string) (Time, bool) {
	ms, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return "", false
	}
	t := time.UnixMilli(ms).UTC()
	if year := t.Year(); year < 0 || year > 9999 { // which RFC 3339 cannot write
		return "", false
	}
	return Time(t.Format("2006-01-02T15:04:05.000Z07:00")), true
}

// ValidName reports whether a text may name a group: a path of one or more elements
// without an empty one, "." or "..", and without backslashes. A user's name is such a text
// or empty.
func ValidName(name string) bool {
	if name == "" || strings.ContainsRune(name, '\\') {
		return false
	}
	for element := range strings.SplitSeq(name, "/") {
		if element == "" || element == "." || element == ".." {
			return false
		}
	}
	return true
}
