// Package capture has what was seen on connections between clients and a server: what an
// inspector takes down, keeps, writes to a file and reads again.
package capture

import "time"

// A Side is an end of a connection.
type Side string

// The sides. What neither of them did is the inspector's own.
const (
	Client Side = "client"
	Server Side = "server"
)

// Other returns the other side.
func (s Side) Other() Side {
	switch s {
	case Client:
		return Server
	case Server:
		return Client
	}
	return ""
}

// A Kind says what an [Entry] is about.
type Kind string

// The kinds of entries.
const (
	Open     Kind = "open"     // a WebSocket was opened, or refused with a Status and Data: URL, Header
	Message  Kind = "message"  // a message of WebSocket or of another carrier of whole messages: Data
	Close    Kind = "close"    // a side has ended the connection: Code, Reason
	Request  Kind = "request"  // an HTTP request: Method, URL, Header, Data
	Response Kind = "response" // its answer, with the URL of the request: Status, Header, Data
	Note     Kind = "note"     // something to tell a reader, in Reason
)

// An Entry is one thing that was seen. What does not belong to its Kind is zero.
type Entry struct {
	Seq  int       // 1 for the first of a recording, without gaps
	Time time.Time // when it was seen; the zero time if nobody knows
	Conn string    // the connection's name, the same for all that belongs together; "" for no connection
	Kind Kind
	From Side

	Method string            // of a request, and of the one that a response answers
	URL    string            // path and query, as the client has them
	Status int               // of a response, or of an opening that was refused
	Header map[string]string // by canonical name, values that come several times with ", " between

	Data   []byte // not to be changed
	Binary bool   // Data came as a binary message
	Cut    int    // the bytes that Data had before it was cut, 0 if it is whole

	Code   int    // of a close frame; 1005 if there was none in it, 1006 if the connection was cut
	Reason string // of a close frame, or the text of a note
}

// AgreedSubprotocol is in the Header of an [Open] the subprotocol that the server has chosen,
// beside what the client asked for.
const AgreedSubprotocol = "Agreed-Subprotocol"
