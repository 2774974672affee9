// Package shape is the table of what every protocol package has: a line
//
//	// -- name --
//
// names a file or (ending in /) a folder that must exist and not be empty, and the
// declarations after it are those that the file must export in this order, among others.
// SHORT stands for the package's short name, PROTOCOL for its whole one. After the marker may
// stand "only x y" or "except x y", with the packages that have the file or do not.
//
// An interface, a struct or a method set must contain what is listed, and may hold more;
// everything else (kinds, signatures, types of fields) is the same to the letter.
// "//shape:only x y" and "//shape:except x y" in front of a declaration name the packages for which
// it is meant.
package shape

// -- doc.go --

// -- message.go --

type Message interface {
	Validate() error
}

type Fields map[string]json.RawMessage

// What the other protocols' peers answer is not a message of its own.
//
//shape:only cuttlefish
type Error struct{}

//shape:only cuttlefish
func (m *Error) Error() string

type Unknown struct {
	Type  string
	Extra Fields
}

type Reconnected struct{}

// -- codec.go --

func Decode(data []byte) (Message, error)

func Encode(m Message) ([]byte, error)

// -- validate.go --

func (m *Unknown) Validate() error

func (*Reconnected) Validate() error

// -- redact.go --

func Redact(data []byte) []byte

// -- errors.go --

type DecodeError struct {
	Type, Field string
	Err         error
}

func (e *DecodeError) Error() string

func (e *DecodeError) Unwrap() error

type ValidationError struct {
	Type, Field, Reason string
}

func (e *ValidationError) Error() string

type StateError struct {
	State    fmt.Stringer
	Type     string
	Required []string
}

func (e *StateError) Error() string

//shape:except cuttlefish
type Error struct{}

//shape:except cuttlefish
func (e *Error) Error() string

var ErrSlowConsumer, ErrSlowPeer, ErrFlood, ErrHandshakeTimeout error

// A client of cuttlefish asks nothing that is answered.
//
//shape:except cuttlefish
var ErrCallTimeout error

//shape:except cuttlefish
var ErrTooManyCalls error

//shape:except cuttlefish
var ErrConnectionLost error

var ErrServerClosed, ErrTooManyConnections error

// -- state.go --

type ClientState int

func (s ClientState) String() string

type ServerState int

func (s ServerState) String() string

type Effects struct {
	Send, Deliver []Message
	Close         *CloseReason
}

//shape:except cuttlefish
type Reply struct {
	Request Message
	Err     error
}

type CloseReason struct {
	Code   transport.StatusCode
	Reason string
	Err    error
}

// -- client_machine.go --

type ClientConfig struct{}

type ClientMachine struct{}

func NewClientMachine(cfg ClientConfig) *ClientMachine

func (m *ClientMachine) State() ClientState

//shape:except cuttlefish
func (m *ClientMachine) Ready() bool

func (m *ClientMachine) Start(now time.Time) Effects

func (m *ClientMachine) Send(now time.Time, msg Message) (Effects, error)

func (m *ClientMachine) Receive(now time.Time, msg Message) Effects

func (m *ClientMachine) Malformed(now time.Time, err *DecodeError) Effects

func (m *ClientMachine) Deadline() (time.Time, bool)

func (m *ClientMachine) Expire(now time.Time) Effects

func (m *ClientMachine) Lost(now time.Time) Effects

// -- server_machine.go --

type ServerConfig struct{}

type PeerID uint64

type Connection struct{}

type ServerEffects struct {
	Send  []Delivery
	Ask   []Question
	Close []Closing
}

type Delivery struct {
	To      PeerID
	Message Message
}

type Ticket struct {
	Peer PeerID
}

type Question struct {
	Ticket  Ticket
	Message Message
}

type Decision struct {
	Refuse *Error
}

type Closing struct {
	Peer   PeerID
	Code   transport.StatusCode
	Reason string
}

type ServerMachine struct{}

func NewServerMachine(cfg ServerConfig) *ServerMachine

func (m *ServerMachine) State(id PeerID) (ServerState, bool)

func (m *ServerMachine) Len() int

func (m *ServerMachine) Connect(now time.Time, id PeerID, c Connection) ServerEffects

func (m *ServerMachine) Receive(now time.Time, id PeerID, msg Message) ServerEffects

func (m *ServerMachine) Malformed(now time.Time, id PeerID, err *DecodeError) ServerEffects

func (m *ServerMachine) Decide(now time.Time, t Ticket, d Decision) ServerEffects

func (m *ServerMachine) Disconnect(now time.Time, id PeerID) ServerEffects

func (m *ServerMachine) Deadline() (time.Time, bool)

func (m *ServerMachine) Expire(now time.Time) ServerEffects

// -- link.go --

type Backoff struct {
	Min, Max time.Duration
	Attempts int
}

type Limits struct {
	Messages     float64
	MessageBurst int
	Bytes        float64
	ByteBurst    int
	Patience     time.Duration
}

type Stats struct {
	MessagesRead, MessagesWritten uint64
	BytesRead, BytesWritten       uint64
	Refused                       uint64
	Crowded                       uint64
	Slow                          uint64
	Flooded                       uint64
	TooBig                        uint64
}

// -- client.go --

type ClientOptions struct {
	HandshakeTimeout time.Duration
	Redial           func(context.Context) (transport.Conn, error)
	Backoff          Backoff
	Inbox            int
	QueueMessages    int
	QueueBytes       int
}

//shape:except cuttlefish
type ClientOptions struct {
	CallTimeout  time.Duration
	MessageBytes int
}

type Client struct{}

//shape:except cuttlefish
func Connect(ctx context.Context, conn transport.Conn, opts *ClientOptions) (*Client, error)

//shape:only cuttlefish
func ConnectClient(ctx context.Context, conn transport.Conn, deviceID string, opts *ClientOptions) (*Client, error)

func (c *Client) Send(m Message) error

func (c *Client) Next(ctx context.Context) (Message, error)

func (c *Client) Messages(ctx context.Context) iter.Seq2[Message, error]

func (c *Client) State() ClientState

func (c *Client) Close() error

func (c *Client) Done() <-chan struct{}

func (c *Client) Err() error

func (c *Client) Stats() Stats

// -- server.go --

type ServerOptions struct {
	ServerConfig

	Connections   int
	Newcomers     int
	QueueMessages int
	QueueBytes    int
	Limits        Limits
	Logger        *slog.Logger
}

//shape:except cuttlefish
type ServerOptions struct {
	MessageBytes int
}

// Who may join a group of Galène is up to its GroupStore, and nobody but the network keeps
// anybody from a Cuttlefish device unless the application asks for more.
//
//shape:only msejsonrpc easyrtc mediasoupproto
type ServerOptions struct {
	AllowAll bool
}

type Server struct{}

type ServerSession struct{}

func NewServer(opts *ServerOptions) *Server

//shape:except cuttlefish
func (s *Server) Serve(ctx context.Context, conn transport.Conn) error

//shape:only cuttlefish
func (s *Server) ServeDevice(ctx context.Context, conn transport.Conn) error

//shape:only cuttlefish
func (s *Server) ServeClient(ctx context.Context, conn transport.Conn) error

var ErrUnknownPeer error

func (s *Server) Send(id PeerID, m Message) error

func (s *Server) Sessions() iter.Seq[*ServerSession]

func (s *Server) Stats() Stats

func (s *Server) Close() error

func (s *ServerSession) ID() PeerID

func (s *ServerSession) State() (ServerState, bool)

func (s *ServerSession) Send(m Message) error

func (s *ServerSession) Close(code transport.StatusCode, reason string)

// -- example_test.go --
// -- main_test.go --
// -- message_test.go --
// -- machine_test.go --
// -- client_test.go --
// -- server_test.go --
// -- fuzz_test.go --
// -- server_fuzz_test.go --
// -- bench_test.go --
// -- vectors_test.go --
// -- server_script_test.go --
// -- testdata/vectors/ --
// -- testdata/scripts/ --

// -- SHORTpion/doc.go --

// -- SHORTpion/errors.go --

var ErrClosed, ErrFailed, ErrConnectTimeout error

// -- SHORTpion/peer.go -- except cuttlefish

const DefaultConnectTimeout = 0

type Options struct {
	Settings       webrtc.SettingEngine
	ConnectTimeout time.Duration
	Logger         *slog.Logger
}

//shape:except msejsonrpc
type Options struct {
	OnMessage func(PROTOCOL.Message)
}

type Peer struct{}

//shape:only msejsonrpc
func NewPeer(signaling *PROTOCOL.Client, opts *Options) *Peer

//shape:only galene easyrtc
func NewPeer(client *PROTOCOL.Client, opts *Options) *Peer

func (p *Peer) Run(ctx context.Context) error

func (p *Peer) Handle(m PROTOCOL.Message) (handled bool, err error)

func (p *Peer) Close() error

// -- SHORTpion/example_test.go --
// -- SHORTpion/main_test.go --
// -- SHORTpion/world_test.go --

// -- SHORThttp/doc.go -- except msejsonrpc

// -- SHORThttp/client.go -- except msejsonrpc

type DialOptions struct {
	Client    *PROTOCOL.ClientOptions
	Reconnect bool
}

// -- SHORThttp/handler.go -- except msejsonrpc

type Options struct {
	Logger *slog.Logger
}

type Handler struct{}

func NewHandler(srv *PROTOCOL.Server, opts *Options) *Handler

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request)

// -- SHORThttp/example_test.go -- except msejsonrpc
// -- SHORThttp/main_test.go -- except msejsonrpc
