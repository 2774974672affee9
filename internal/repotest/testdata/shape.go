// Package shape is the table of what every protocol package has: a line
//
//	// -- name --
//
// names a file or (ending in /) a folder that must exist and not be empty, and the
// declarations after it are those that the file must export in this order, among others.
// SHORT stands for the package's short name.
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

var ErrSlowConsumer, ErrSlowPeer, ErrFlood, ErrHandshakeTimeout, ErrServerClosed, ErrTooManyConnections error

// -- state.go --

type ClientState int

func (s ClientState) String() string

type ServerState int

func (s ServerState) String() string

type Effects struct {
	Send, Deliver []Message
	Close         *CloseReason
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

type Client struct{}

//shape:except cuttlefish
func Connect(ctx context.Context, conn transport.Conn, opts *ClientOptions) (*Client, error)

//shape:only cuttlefish
func ConnectClient(ctx context.Context, conn transport.Conn, deviceID string, opts *ClientOptions) (*Client, error)

func (c *Client) Send(m Message) error

func (c *Client) Next(ctx context.Context) (Message, error)

func (c *Client) Messages(ctx context.Context) iter.Seq2[Message, error]

func (c *Client) Close() error

func (c *Client) Done() <-chan struct{}

func (c *Client) Err() error

func (c *Client) Stats() Stats

// -- server.go --

type ServerOptions struct {
	ServerConfig

	Connections   int
	QueueMessages int
	QueueBytes    int
	Limits        Limits
	Logger        *slog.Logger
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

func (s *ServerSession) Close(code transport.StatusCode, reason string)

// -- example_test.go --
// -- message_test.go --
// -- machine_test.go --
// -- client_test.go --
// -- server_test.go --
// -- fuzz_test.go --
// -- bench_test.go --
// -- testdata/vectors/ --
// -- testdata/scripts/ --
// -- SHORTpion/ --
