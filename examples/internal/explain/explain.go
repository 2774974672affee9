// Package explain tells what the entries of a recording mean in a protocol: the names of
// messages, what is wrong with them, and where each side of a connection stands.
package explain

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
)

// An Arrow is one thing on a diagram: a message from one side of a connection to the other,
// or what happened to a connection. One entry may be several, such as the packets in the body
// of a polling request.
type Arrow struct {
	Number int          `json:"number"` // 1 for the first of a recording, without gaps
	Seq    int          `json:"seq"`    // of the entry
	Time   time.Time    `json:"time,omitzero"`
	Conn   string       `json:"conn"`
	From   capture.Side `json:"from,omitempty"` // "" for what neither side did
	Kind   Kind         `json:"kind"`
	Name   string       `json:"name"`             // on the arrow: "offer", "join", "closed 1006"
	About  string       `json:"about,omitempty"`  // what tells it from others of its name: a user, a stream, a target
	Who    string       `json:"who,omitempty"`    // the client of the connection, where it is told: a user, a device
	Ack    bool         `json:"ack,omitempty"`    // it is an answer that says nothing but that the question has come
	Size   int          `json:"size,omitempty"`   // in bytes
	Client string       `json:"client,omitempty"` // the state of the client's side afterwards
	Server string       `json:"server,omitempty"` // the state of the server's side afterwards

	Problems []Problem `json:"problems,omitempty"`
	Detail   *Detail   `json:"-"` // nil if there is no more to tell
}

// A Kind says how much an [Arrow] matters.
type Kind string

// The kinds of arrows.
const (
	Message   Kind = "message"   // of the protocol
	Carrier   Kind = "carrier"   // of what carries it: heartbeats, polling, handshakes, HTTP
	Lifecycle Kind = "lifecycle" // a connection was opened or closed; a note
)

// A Problem is something that is wrong with an arrow.
type Problem struct {
	Kind ProblemKind `json:"kind"`
	Text string      `json:"text"`
}

// A ProblemKind says which layer found a [Problem].
type ProblemKind string

// The kinds of problems.
const (
	Undecodable ProblemKind = "decode"     // it is not a message of the protocol
	Invalid     ProblemKind = "validation" // it is one whose values break the protocol's rules
	Illegal     ProblemKind = "state"      // it may not be sent in the state of its side
	Refused     ProblemKind = "refused"    // it tells the other side that something failed
)

// A Detail is what a click on an arrow shows. Secrets are masked in all of it, unless the
// [Recording] shows them.
type Detail struct {
	Decoded json.RawMessage `json:"decoded,omitempty"` // the message as the codec has it
	Type    string          `json:"type,omitempty"`    // its Go type: "*galene.Offer"
	Raw     string          `json:"raw"`               // what was on the wire; bytes that are no text are shown as in Go
	Folds   []Fold          `json:"folds,omitempty"`
}

// A Fold is a part of a message that is long and has a form of its own.
type Fold struct {
	Title string `json:"title"` // "SDP offer: audio, video", "candidate: host udp 192.0.2.1:5000"
	Text  string `json:"text"`  // in lines
}

// A Protocol explains one protocol.
type Protocol struct {
	Name string // as in flags: "galene"
	// Conn begins the explanation of a connection.
	Conn func(r *Recording, open capture.Entry) Conn
}

// A Conn explains the entries of one connection, in their order. Its errors are Problems of
// the arrows.
type Conn interface {
	// Explain returns the arrows of an entry without what [Recording] fills in: Number, Seq,
	// Time, Conn, and From and Size where they are zero. None leaves the entry out.
	Explain(e capture.Entry) []Arrow
}

// A Recording explains all entries of a recording. It is for one goroutine at a time.
type Recording struct {
	// Secrets shows passwords, tokens and the credentials of TURN servers in the details. It
	// is set before the first entry.
	Secrets bool

	protocol Protocol
	conns    map[string]*connection
	entries  int
	arrows   int
}

// A connection is one that a [Recording] explains.
type connection struct {
	Conn
	used int // the number of its last entry
}

// maxConns is how many connections a [Recording] knows. Of those that have been silent for
// longest it forgets the states: they begin anew with their next entry.
const maxConns = 8192

// Protocols are all of them.
var Protocols = []Protocol{
	{Name: "cuttlefish", Conn: newCuttlefish},
	{Name: "mse", Conn: newMSE},
	{Name: "galene", Conn: newGalene},
	{Name: "easyrtc", Conn: newEasyRTC},
	{Name: "mediasoup", Conn: newMediasoup},
}

// Find returns the protocol of a name.
func Find(name string) (Protocol, error) {
	i := slices.IndexFunc(Protocols, func(p Protocol) bool { return p.Name == name })
	if i < 0 {
		return Protocol{}, fmt.Errorf("there is no protocol %q", name)
	}
	return Protocols[i], nil
}

// NewRecording begins with no connections.
func NewRecording(p Protocol) *Recording {
	return &Recording{protocol: p, conns: make(map[string]*connection)}
}

// Explain returns the arrows of the next entry.
func (r *Recording) Explain(e capture.Entry) []Arrow {
	conn := r.conns[e.Conn]
	if conn == nil {
		r.makeRoom()
		conn = &connection{Conn: r.protocol.Conn(r, e)}
		r.conns[e.Conn] = conn
	}
	r.entries++
	conn.used = r.entries
	arrows := conn.Explain(e)
	for i := range arrows {
		r.arrows++
		a := &arrows[i]
		a.Number, a.Seq, a.Time, a.Conn = r.arrows, e.Seq, e.Time, e.Conn
		if a.From == "" {
			a.From = e.From
		}
		if a.Size == 0 {
			a.Size = len(e.Data)
		}
		a.bound()
	}
	return arrows
}

// makeRoom forgets half of the connections when there are too many.
func (r *Recording) makeRoom() {
	if len(r.conns) < maxConns {
		return
	}
	used := make([]int, 0, len(r.conns))
	for _, conn := range r.conns {
		used = append(used, conn.used)
	}
	slices.Sort(used)
	median := used[len(used)/2]
	maps.DeleteFunc(r.conns, func(_ string, conn *connection) bool { return conn.used < median })
}

// bound cuts what the wire can make as long as it likes, and names what it leaves empty.
func (a *Arrow) bound() {
	a.Name, a.About, a.Who = cmp.Or(clip(a.Name, 80), "unnamed"), clip(a.About, 120), clip(a.Who, 80)
	if len(a.Problems) > maxProblems {
		a.Problems = a.Problems[:maxProblems]
	}
	for i := range a.Problems {
		a.Problems[i].Text = cmp.Or(clip(a.Problems[i].Text, 400), "for no reason")
	}
}

const maxProblems = 16
