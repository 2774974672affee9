package mediasoupproto

import (
	"encoding/json"
	"strconv"
)

// A Message is one message of the protocol. Messages are plain data: they may be copied and
// read by several goroutines.
type Message interface {
	// Validate reports what is wrong with the message as it stands, whatever the
	// state of the connection, by the rules of [Strict]. The error is a
	// [*ValidationError].
	Validate() error

	wireType() string // the method; closes the set
	head() *Head      // nil for messages without one
}

// Fields are members of a JSON object by name, as they stand on the wire.
type Fields map[string]json.RawMessage

// An ID is the number of a request, as a JSON number stands on the wire. "" is none. IDs are
// echoed as they came.
type ID string

// NumberID returns the ID of a number.
func NumberID(n uint64) ID { return ID(strconv.FormatUint(n, 10)) }

// A Head is what stands around a message. Clients and servers fill it in.
type Head struct {
	// RequestID is that of a request, "" in a notification. Clients of protoo 2 have
	// requests for notifications as well.
	RequestID ID

	form *form // how the envelope differs from what it should be; nil: it does not
	kind FrameKind
}

func (h *Head) head() *Head { return h }

// A form is what a payload says in place of its target, and of notification. A nil member is
// absent.
type form struct{ target, notification json.RawMessage }

// QueryRoom asks what the room can do. It is answered with a [QueryRoomResult].
//
// Client to server.
type QueryRoom struct {
	Head  `json:"-"`
	Extra Fields `json:"-"`
}

// Join enters the room. It is answered with a [JoinResult].
//
// Client to server.
type Join struct {
	Head            `json:"-"`
	PeerName        string           `json:"peerName"`
	RTPCapabilities *RTPCapabilities `json:"rtpCapabilities,omitempty"`
	Spy             bool             `json:"spy"`               // is told of all others and shown to none
	AppData         json.RawMessage  `json:"appData,omitempty"` // any JSON, for the others
	Extra           Fields           `json:"-"`
}

// CreateTransport asks for a way for media. It is answered with a [CreateTransportResult].
//
// Client to server.
type CreateTransport struct {
	Head               `json:"-"`
	ID                 uint32              `json:"id,omitempty"` // chosen by the client
	Direction          Direction           `json:"direction,omitempty"`
	Options            *TransportOptions   `json:"options,omitempty"` // needed with PlainRTPParameters
	AppData            json.RawMessage     `json:"appData,omitempty"`
	DTLSParameters     *DTLSParameters     `json:"dtlsParameters,omitempty"`     // the client's, or with UpdateTransport
	PlainRTPParameters *PlainRTPParameters `json:"plainRtpParameters,omitempty"` // for one without ICE and DTLS
	Extra              Fields              `json:"-"`
}

// RestartTransport restarts ICE. It is answered with a [RestartTransportResult].
//
// Client to server.
type RestartTransport struct {
	Head  `json:"-"`
	ID    uint32 `json:"id,omitempty"`
	Extra Fields `json:"-"`
}

// CreateProducer begins to send. Its answer is empty.
//
// Client to server.
type CreateProducer struct {
	Head          `json:"-"`
	ID            uint32          `json:"id,omitempty"` // chosen by the client
	Kind          Kind            `json:"kind,omitempty"`
	TransportID   uint32          `json:"transportId,omitempty"`
	RTPParameters *RTPParameters  `json:"rtpParameters,omitempty"`
	Paused        bool            `json:"paused"`
	AppData       json.RawMessage `json:"appData,omitempty"` // any JSON, for the others
	Extra         Fields          `json:"-"`
}

// EnableConsumer begins to receive. It is answered with an [EnableConsumerResult].
//
// Client to server.
type EnableConsumer struct {
	Head             `json:"-"`
	ID               uint32  `json:"id,omitempty"`
	TransportID      uint32  `json:"transportId,omitempty"`
	Paused           bool    `json:"paused"`
	PreferredProfile Profile `json:"preferredProfile,omitempty"`
	Extra            Fields  `json:"-"`
}

// Leave leaves the room.
//
// Client to server.
type Leave struct {
	Head    `json:"-"`
	AppData json.RawMessage `json:"appData,omitempty"`
	Extra   Fields          `json:"-"`
}

// UpdateTransport says the client's parameters, which must not have been said before.
//
// Client to server.
type UpdateTransport struct {
	Head               `json:"-"`
	ID                 uint32              `json:"id,omitempty"`
	DTLSParameters     *DTLSParameters     `json:"dtlsParameters,omitempty"`
	PlainRTPParameters *PlainRTPParameters `json:"plainRtpParameters,omitempty"`
	Extra              Fields              `json:"-"`
}

// CloseTransport closes a transport, its producers, and what is received over it.
//
// Client to server.
type CloseTransport struct {
	Head    `json:"-"`
	ID      uint32          `json:"id,omitempty"`
	AppData json.RawMessage `json:"appData,omitempty"`
	Extra   Fields          `json:"-"`
}

// EnableTransportStats asks for a [TransportStats] now and then every Interval.
//
// Client to server.
type EnableTransportStats struct {
	Head     `json:"-"`
	ID       uint32 `json:"id,omitempty"`
	Interval int64  `json:"interval,omitempty"` // in ms; servers take 1000 at least
	Extra    Fields `json:"-"`
}

// DisableTransportStats ends what [EnableTransportStats] began.
//
// Client to server.
type DisableTransportStats struct {
	Head  `json:"-"`
	ID    uint32 `json:"id,omitempty"`
	Extra Fields `json:"-"`
}

// PauseProducer stops sending for a while.
//
// Client to server.
type PauseProducer struct {
	Head    `json:"-"`
	ID      uint32          `json:"id,omitempty"`
	AppData json.RawMessage `json:"appData,omitempty"`
	Extra   Fields          `json:"-"`
}

// ResumeProducer sends again.
//
// Client to server.
type ResumeProducer struct {
	Head    `json:"-"`
	ID      uint32          `json:"id,omitempty"`
	AppData json.RawMessage `json:"appData,omitempty"`
	Extra   Fields          `json:"-"`
}

// CloseProducer ends sending.
//
// Client to server.
type CloseProducer struct {
	Head    `json:"-"`
	ID      uint32          `json:"id,omitempty"`
	AppData json.RawMessage `json:"appData,omitempty"`
	Extra   Fields          `json:"-"`
}

// EnableProducerStats asks for a [ProducerStats] now and then every Interval.
//
// Client to server.
type EnableProducerStats struct {
	Head     `json:"-"`
	ID       uint32 `json:"id,omitempty"`
	Interval int64  `json:"interval,omitempty"` // in ms; servers take 1000 at least
	Extra    Fields `json:"-"`
}

// DisableProducerStats ends what [EnableProducerStats] began.
//
// Client to server.
type DisableProducerStats struct {
	Head  `json:"-"`
	ID    uint32 `json:"id,omitempty"`
	Extra Fields `json:"-"`
}

// UpdateProducer says new parameters of a producer. No server of version 2.6 knows it.
//
// Client to server.
type UpdateProducer struct {
	Head          `json:"-"`
	ID            uint32         `json:"id,omitempty"`
	RTPParameters *RTPParameters `json:"rtpParameters,omitempty"`
	Extra         Fields         `json:"-"`
}

// PauseConsumer stops receiving for a while.
//
// Client to server.
type PauseConsumer struct {
	Head    `json:"-"`
	ID      uint32          `json:"id,omitempty"`
	AppData json.RawMessage `json:"appData,omitempty"`
	Extra   Fields          `json:"-"`
}

// ResumeConsumer receives again.
//
// Client to server.
type ResumeConsumer struct {
	Head    `json:"-"`
	ID      uint32          `json:"id,omitempty"`
	AppData json.RawMessage `json:"appData,omitempty"`
	Extra   Fields          `json:"-"`
}

// SetConsumerPreferredProfile says which of several streams the client wants.
//
// Client to server.
type SetConsumerPreferredProfile struct {
	Head    `json:"-"`
	ID      uint32  `json:"id,omitempty"`
	Profile Profile `json:"profile,omitempty"`
	Extra   Fields  `json:"-"`
}

// EnableConsumerStats asks for a [ConsumerStats] now and then every Interval.
//
// Client to server.
type EnableConsumerStats struct {
	Head     `json:"-"`
	ID       uint32 `json:"id,omitempty"`
	Interval int64  `json:"interval,omitempty"` // in ms; servers take 1000 at least
	Extra    Fields `json:"-"`
}

// DisableConsumerStats ends what [EnableConsumerStats] began.
//
// Client to server.
type DisableConsumerStats struct {
	Head  `json:"-"`
	ID    uint32 `json:"id,omitempty"`
	Extra Fields `json:"-"`
}

// Closed says that the peer or its room has been closed. The connection stays.
//
// Server to client.
type Closed struct {
	Head    `json:"-"`
	AppData json.RawMessage `json:"appData,omitempty"`
	Extra   Fields          `json:"-"`
}

// NewPeer says that another peer has joined.
//
// Server to client.
type NewPeer struct {
	Head      `json:"-"`
	Consumers []*ConsumerInfo `json:"consumers,omitzero"` // empty, and needed by clients
	Name      string          `json:"name"`
	AppData   json.RawMessage `json:"appData,omitempty"`
	Extra     Fields          `json:"-"`
}

// PeerClosed says that another peer has gone, with its producers.
//
// Server to client.
type PeerClosed struct {
	Head    `json:"-"`
	Name    string          `json:"name"`
	AppData json.RawMessage `json:"appData,omitempty"`
	Extra   Fields          `json:"-"`
}

// NewConsumer says that another peer has a new producer. Its members are those of
// [ConsumerInfo].
//
// Server to client.
type NewConsumer struct {
	Head             `json:"-"`
	ID               uint32          `json:"id"`
	Kind             Kind            `json:"kind"`
	RTPParameters    *RTPParameters  `json:"rtpParameters,omitempty"`
	Paused           bool            `json:"paused"`
	PreferredProfile Profile         `json:"preferredProfile,omitempty"`
	EffectiveProfile *Profile        `json:"effectiveProfile"`
	AppData          json.RawMessage `json:"appData,omitempty"`
	PeerName         string          `json:"peerName"`
	Extra            Fields          `json:"-"`
}

// ConsumerClosed says that the producer of a consumer has ended.
//
// Server to client.
type ConsumerClosed struct {
	Head     `json:"-"`
	ID       uint32 `json:"id"`
	PeerName string `json:"peerName,omitempty"`
	Extra    Fields `json:"-"`
}

// ConsumerPaused says that nothing is received for a while.
//
// Server to client.
type ConsumerPaused struct {
	Head     `json:"-"`
	ID       uint32          `json:"id"`
	PeerName string          `json:"peerName,omitempty"`
	AppData  json.RawMessage `json:"appData,omitempty"` // the server application's
	Extra    Fields          `json:"-"`
}

// ConsumerResumed says that media are received again.
//
// Server to client.
type ConsumerResumed struct {
	Head     `json:"-"`
	ID       uint32          `json:"id"`
	PeerName string          `json:"peerName,omitempty"`
	AppData  json.RawMessage `json:"appData,omitempty"` // the server application's
	Extra    Fields          `json:"-"`
}

// ConsumerPreferredProfileSet says that the server application prefers another stream.
//
// Server to client.
type ConsumerPreferredProfileSet struct {
	Head     `json:"-"`
	ID       uint32  `json:"id"`
	PeerName string  `json:"peerName,omitempty"`
	Profile  Profile `json:"profile"`
	Extra    Fields  `json:"-"`
}

// ConsumerEffectiveProfileChanged says which stream is received.
//
// Server to client.
type ConsumerEffectiveProfileChanged struct {
	Head     `json:"-"`
	ID       uint32  `json:"id"`
	PeerName string  `json:"peerName,omitempty"`
	Profile  Profile `json:"profile"`
	Extra    Fields  `json:"-"`
}

// ConsumerStats are about a consumer: an [RTPStreamStats] of the producer's stream unless
// none is received yet, and one of the consumer's own.
//
// Server to client.
type ConsumerStats struct {
	Head     `json:"-"`
	ID       uint32            `json:"id"`
	PeerName string            `json:"peerName,omitempty"`
	Stats    []json.RawMessage `json:"stats"`
	Extra    Fields            `json:"-"`
}

// TransportClosed says that the server has closed a transport.
//
// Server to client.
type TransportClosed struct {
	Head    `json:"-"`
	ID      uint32          `json:"id"`
	AppData json.RawMessage `json:"appData,omitempty"`
	Extra   Fields          `json:"-"`
}

// TransportStats are about a transport: one [TransportState].
//
// Server to client.
type TransportStats struct {
	Head  `json:"-"`
	ID    uint32            `json:"id"`
	Stats []json.RawMessage `json:"stats"`
	Extra Fields            `json:"-"`
}

// ProducerPaused says that the server application has paused a producer.
//
// Server to client.
type ProducerPaused struct {
	Head     `json:"-"`
	ID       uint32          `json:"id"`
	PeerName string          `json:"peerName,omitempty"` // the receiver's own
	AppData  json.RawMessage `json:"appData,omitempty"`
	Extra    Fields          `json:"-"`
}

// ProducerResumed says that the server application has resumed a producer.
//
// Server to client.
type ProducerResumed struct {
	Head     `json:"-"`
	ID       uint32          `json:"id"`
	PeerName string          `json:"peerName,omitempty"` // the receiver's own
	AppData  json.RawMessage `json:"appData,omitempty"`
	Extra    Fields          `json:"-"`
}

// ProducerClosed says that the server application has closed a producer.
//
// Server to client.
type ProducerClosed struct {
	Head     `json:"-"`
	ID       uint32          `json:"id"`
	PeerName string          `json:"peerName,omitempty"` // the receiver's own
	AppData  json.RawMessage `json:"appData,omitempty"`
	Extra    Fields          `json:"-"`
}

// ProducerStats are about a producer: an [RTPStreamStats] of each stream.
//
// Server to client.
type ProducerStats struct {
	Head  `json:"-"`
	ID    uint32            `json:"id"`
	Stats []json.RawMessage `json:"stats"`
	Extra Fields            `json:"-"`
}

// Response answers a request: with Result, or with Error if that is not nil. What a result
// says depends on the request; see [QueryRoomResult] and the like.
type Response struct {
	Head   `json:"-"`
	Result json.RawMessage // an object; nil is an empty one
	Error  *Error
}

// Application is a message of the application's own, which has nothing to do with mediasoup
// and travels beside it: a request if it has a RequestID, a notification otherwise. The
// application of a [Client] answers a request of the server's by sending a [*Response] with its
// RequestID.
type Application struct {
	Head   `json:"-"`
	Method string          // neither MethodRequest nor MethodNotification
	Data   json.RawMessage // any JSON; nil is {}
}

// Unknown is a message of a method that this package does not know. It survives decoding
// and encoding and can be sent.
type Unknown struct {
	Head  `json:"-"`
	Type  string // the method
	Extra Fields // all members but method, target and notification
}

// Reconnected tells the application that a lost connection has been replaced. It does not
// exist on the wire. The peer has joined its room again; its transports, producers
// and consumers are gone.
type Reconnected struct {
	Room   *QueryRoomResult
	Joined *JoinResult // nil when it had not joined
}

// QueryRoomResult answers [QueryRoom].
type QueryRoomResult struct {
	RTPCapabilities *RTPCapabilities `json:"rtpCapabilities,omitempty"`
	// MandatoryCodecPayloadTypes are of those codecs that a client must have. Servers of
	// version 2.6 demand none.
	MandatoryCodecPayloadTypes []uint8 `json:"mandatoryCodecPayloadTypes,omitzero"`
	Extra                      Fields  `json:"-"`
}

// JoinResult answers [Join].
type JoinResult struct {
	Peers []*PeerInfo `json:"peers"` // all others but spies, in the order of their joining
	Extra Fields      `json:"-"`
}

// CreateTransportResult answers [CreateTransport].
type CreateTransportResult struct {
	ICEParameters      *ICEParameters      `json:"iceParameters,omitempty"`
	ICECandidates      []ICECandidate      `json:"iceCandidates,omitzero"`
	DTLSParameters     *DTLSParameters     `json:"dtlsParameters,omitempty"`
	PlainRTPParameters *PlainRTPParameters `json:"plainRtpParameters,omitempty"` // instead of all that
	Extra              Fields              `json:"-"`
}

// RestartTransportResult answers [RestartTransport].
type RestartTransportResult struct {
	ICEParameters *ICEParameters `json:"iceParameters,omitempty"`
	Extra         Fields         `json:"-"`
}

// EnableConsumerResult answers [EnableConsumer].
type EnableConsumerResult struct {
	Paused           bool     `json:"paused"` // by anybody but the client itself
	PreferredProfile Profile  `json:"preferredProfile"`
	EffectiveProfile *Profile `json:"effectiveProfile"` // nil: not known yet
	Extra            Fields   `json:"-"`
}

func (*QueryRoom) wireType() string                   { return "queryRoom" }
func (*Join) wireType() string                        { return "join" }
func (*CreateTransport) wireType() string             { return "createTransport" }
func (*RestartTransport) wireType() string            { return "restartTransport" }
func (*CreateProducer) wireType() string              { return "createProducer" }
func (*EnableConsumer) wireType() string              { return "enableConsumer" }
func (*Leave) wireType() string                       { return "leave" }
func (*UpdateTransport) wireType() string             { return "updateTransport" }
func (*CloseTransport) wireType() string              { return "closeTransport" }
func (*EnableTransportStats) wireType() string        { return "enableTransportStats" }
func (*DisableTransportStats) wireType() string       { return "disableTransportStats" }
func (*PauseProducer) wireType() string               { return "pauseProducer" }
func (*ResumeProducer) wireType() string              { return "resumeProducer" }
func (*CloseProducer) wireType() string               { return "closeProducer" }
func (*EnableProducerStats) wireType() string         { return "enableProducerStats" }
func (*DisableProducerStats) wireType() string        { return "disableProducerStats" }
func (*UpdateProducer) wireType() string              { return "updateProducer" }
func (*PauseConsumer) wireType() string               { return "pauseConsumer" }
func (*ResumeConsumer) wireType() string              { return "resumeConsumer" }
func (*SetConsumerPreferredProfile) wireType() string { return "setConsumerPreferredProfile" }
func (*EnableConsumerStats) wireType() string         { return "enableConsumerStats" }
func (*DisableConsumerStats) wireType() string        { return "disableConsumerStats" }
func (*Closed) wireType() string                      { return "closed" }
func (*NewPeer) wireType() string                     { return "newPeer" }
func (*PeerClosed) wireType() string                  { return "peerClosed" }
func (*NewConsumer) wireType() string                 { return "newConsumer" }
func (*ConsumerClosed) wireType() string              { return "consumerClosed" }
func (*ConsumerPaused) wireType() string              { return "consumerPaused" }
func (*ConsumerResumed) wireType() string             { return "consumerResumed" }
func (*ConsumerPreferredProfileSet) wireType() string { return "consumerPreferredProfileSet" }
func (*ConsumerEffectiveProfileChanged) wireType() string {
	return "consumerEffectiveProfileChanged"
}
func (*ConsumerStats) wireType() string   { return "consumerStats" }
func (*TransportClosed) wireType() string { return "transportClosed" }
func (*TransportStats) wireType() string  { return "transportStats" }
func (*ProducerPaused) wireType() string  { return "producerPaused" }
func (*ProducerResumed) wireType() string { return "producerResumed" }
func (*ProducerClosed) wireType() string  { return "producerClosed" }
func (*ProducerStats) wireType() string   { return "producerStats" }
func (*Response) wireType() string        { return "response" }
func (m *Application) wireType() string   { return m.Method }
func (m *Unknown) wireType() string       { return m.Type }
func (*Reconnected) wireType() string     { return "reconnected" }
func (*Reconnected) head() *Head          { return nil }
