package mediasoupproto

// A Kind is a kind of media.
type Kind string

// The kinds of media.
const (
	Audio Kind = "audio"
	Video Kind = "video"
)

// A Direction is which way the media of a transport go, seen from the client. Servers do not
// look at it.
type Direction string

// The directions of a transport.
const (
	DirectionSend Direction = "send"
	DirectionRecv Direction = "recv"
)

// A Target is the object of the server that a request or notification is for. Servers go by
// the method.
type Target string

// The targets.
const (
	TargetRoom Target = "room"
	TargetPeer Target = "peer"
)

// A Profile names a stream of a producer that sends several of the same picture.
type Profile string

// The profiles. A single stream is ProfileDefault.
const (
	ProfileNone    Profile = "none"    // effective only: nothing is received
	ProfileDefault Profile = "default" // preferred: the best one; effective: the only one
	ProfileLow     Profile = "low"
	ProfileMedium  Profile = "medium"
	ProfileHigh    Profile = "high"
)

// IsPreference reports whether a client may prefer the profile.
func (p Profile) IsPreference() bool {
	switch p {
	case ProfileDefault, ProfileLow, ProfileMedium, ProfileHigh:
		return true
	}
	return false
}

// isOfEncoding reports whether a producer may call one of several streams so.
func (p Profile) isOfEncoding() bool { return p != ProfileDefault && p.IsPreference() }

// A DTLSRole is who begins with DTLS.
type DTLSRole string

// The roles of DTLS.
const (
	DTLSRoleAuto   DTLSRole = "auto"
	DTLSRoleClient DTLSRole = "client"
	DTLSRoleServer DTLSRole = "server"
)

// The methods in which the messages travel, in the framings that have methods of their own.
const (
	MethodRequest      = "mediasoup-request"
	MethodNotification = "mediasoup-notification"
)
