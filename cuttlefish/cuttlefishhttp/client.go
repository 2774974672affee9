package cuttlefishhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/unixpacket"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// Via says over which endpoints a client reaches its server.
type Via int

// The ways to a server.
const (
	// ViaAuto is ViaWebSocket and, when that connection does not open for another
	// reason than that the device is unknown, ViaPolling: today's operator, and a
	// proxy before it that lets no WebSocket through.
	ViaAuto Via = iota
	// ViaDocument is the WebSocket endpoint of the protocol document, /connect_client.
	ViaDocument
	// ViaWebSocket is today's operator's /devices/{id}/connect.
	ViaWebSocket
	// ViaPolling is today's operator's /polled_connections.
	ViaPolling
)

// String returns "auto", "document", "websocket" or "polling".
func (v Via) String() string {
	switch v {
	case ViaDocument:
		return "document"
	case ViaWebSocket:
		return "websocket"
	case ViaPolling:
		return "polling"
	}
	return "auto"
}

// The defaults of [DialOptions].
const (
	DefaultPollMin = 100 * time.Millisecond
	DefaultPollMax = 2 * time.Second
)

// DialOptions say how [ConnectClient] reaches a server. Nil and zero fields mean the defaults.
type DialOptions struct {
	Via Via

	// Client says how the client behaves. Its Dialect follows from the way.
	Client *cuttlefish.ClientOptions
	// Reconnect opens a lost connection again, in the same way and with a new config,
	// as often as the Backoff of Client says. It replaces the Redial of Client.
	Reconnect bool

	Header     http.Header  // of every request
	HTTPClient *http.Client // default: http.DefaultClient; WebSocket handshakes make one of their own
	// WebSocket holds the limits and time-outs of WebSocket connections; its Header
	// and HTTPClient are taken from the fields above when these are set.
	WebSocket *wsconn.Options

	PollMin time.Duration // between two polls; default 100 ms, doubled while nothing comes
	PollMax time.Duration // default 2 s
}

// ConnectClient connects a client to a device through the server at baseURL (http, https, ws or
// wss), below which all its endpoints are. It returns when the device_info has
// arrived; ctx bounds only that. A refusal, an unknown device included, is a
// [*cuttlefish.Error].
//
// Every way delivers the server's config before the device_info: where it does not come
// over the connection, it is fetched from /infra_config first, anew for each
// connection.
func ConnectClient(ctx context.Context, baseURL, deviceID string, opts *DialOptions) (*cuttlefish.Client, error) {
	d, err := newDialer(baseURL, deviceID, opts)
	if err != nil {
		return nil, fmt.Errorf("cuttlefishhttp: %w", err)
	}
	conn, err := d.dial(ctx)
	if err != nil {
		return nil, err
	}
	return cuttlefish.ConnectClient(ctx, conn, deviceID, d.client())
}

// A dialer opens connections of one client.
type dialer struct {
	opts     DialOptions
	deviceID string
	api      api
}

func newDialer(baseURL, deviceID string, opts *DialOptions) (*dialer, error) {
	if err := (&cuttlefish.Connect{DeviceID: deviceID}).Validate(); err != nil {
		return nil, err
	}
	base, err := parseBase(baseURL)
	if err != nil {
		return nil, err
	}
	d := &dialer{deviceID: deviceID}
	if opts != nil {
		d.opts = *opts
	}
	if d.opts.PollMin <= 0 {
		d.opts.PollMin = DefaultPollMin
	}
	if d.opts.PollMax <= 0 {
		d.opts.PollMax = DefaultPollMax
	}
	d.api = api{base: base, header: d.opts.Header, client: d.opts.HTTPClient}
	if d.api.client == nil {
		d.api.client = http.DefaultClient
	}
	return d, nil
}

var errScheme = errors.New("address is not http, https, ws or wss")

// parseBase reads the address of a server; what it returns is http or https.
func parseBase(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "http", "https":
	case "ws":
		u.Scheme = "http"
	case "wss":
		u.Scheme = "https"
	default:
		return nil, errScheme
	}
	u.RawQuery, u.Fragment = "", ""
	return u, nil
}

// client returns the options of the client whose connections this dialer opens.
func (d *dialer) client() *cuttlefish.ClientOptions {
	var o cuttlefish.ClientOptions
	if d.opts.Client != nil {
		o = *d.opts.Client
	}
	o.Dialect = cuttlefish.DialectOperator
	if d.opts.Via == ViaDocument {
		o.Dialect = cuttlefish.DialectDocument
	}
	if d.opts.Reconnect {
		o.Redial = d.dial
	}
	return &o
}

// handshakeTimeout is the client's, which over a WebSocket its machine applies.
func (d *dialer) handshakeTimeout() time.Duration {
	if d.opts.Client == nil || d.opts.Client.HandshakeTimeout == 0 {
		return cuttlefish.DefaultHandshakeTimeout
	}
	return d.opts.Client.HandshakeTimeout
}

// dial opens one connection.
func (d *dialer) dial(ctx context.Context) (transport.Conn, error) {
	conn, err := d.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("cuttlefishhttp: dial %s: %w", d.opts.Via, err)
	}
	return conn, nil
}

func (d *dialer) open(ctx context.Context) (transport.Conn, error) {
	if d.opts.Via == ViaDocument {
		return d.socket(ctx, "connect_client")
	}
	config, err := d.api.config(ctx)
	if err != nil {
		return nil, err
	}
	if d.opts.Via == ViaPolling {
		return d.poll(ctx, config)
	}
	conn, err := d.socket(ctx, "devices", d.deviceID, "connect")
	if err == nil {
		return &announced{Conn: conn, config: config}, nil
	}
	if dialErr, ok := errors.AsType[*wsconn.DialError](err); ok {
		if refusal := refusalOf(dialErr.StatusCode, []byte(dialErr.Body)); refusal != nil {
			err = refusal
		}
		if isUnknownDevice(err) {
			return nil, err
		}
	}
	if d.opts.Via == ViaWebSocket || ctx.Err() != nil {
		return nil, err
	}
	conn, pollErr := d.poll(ctx, config)
	if pollErr != nil {
		return nil, fmt.Errorf("%w; then by polling: %w", err, pollErr)
	}
	return conn, nil
}

func (d *dialer) socket(ctx context.Context, path ...string) (transport.Conn, error) {
	return wsconn.Dial(ctx, d.api.url(path...), socketOptions(d.opts.WebSocket, d.opts.Header, d.opts.HTTPClient))
}

func socketOptions(o *wsconn.Options, header http.Header, client *http.Client) *wsconn.Options {
	var r wsconn.Options
	if o != nil {
		r = *o
	}
	if header != nil {
		r.Header = header
	}
	if client != nil {
		r.HTTPClient = client
	}
	return &r
}

// An announced connection is one of today's operator: the config that was fetched
// comes first, as in the document's dialect.
type announced struct {
	transport.Conn
	config []byte // until it is read
}

func (c *announced) Read(buf []byte) (transport.MessageType, []byte, error) {
	if c.config != nil {
		buf = append(buf[:0], c.config...)
		c.config = nil
		return transport.Text, buf, nil
	}
	return c.Conn.Read(buf)
}

// WriteBatch is there because wsconn's connections have it.
func (c *announced) WriteBatch(typ transport.MessageType, msgs [][]byte) error {
	if b, ok := c.Conn.(transport.BatchWriter); ok {
		return b.WriteBatch(typ, msgs)
	}
	for _, msg := range msgs {
		if err := c.Conn.Write(typ, msg); err != nil {
			return err
		}
	}
	return nil
}

// DialDeviceOptions say how [ConnectDevice] reaches a server. Nil and zero fields mean
// the defaults.
type DialDeviceOptions struct {
	// Device says what is registered and how the device behaves. Its Dialect follows
	// from the address.
	Device *cuttlefish.DeviceOptions
	// Reconnect opens a lost connection again and registers anew, as often as the
	// Backoff of Device says. It replaces the Redial of Device.
	Reconnect bool

	Header     http.Header  // of the handshake
	HTTPClient *http.Client // for the handshake; default: one of its own
	// WebSocket holds the limits and time-outs of WebSocket connections; its Header
	// and HTTPClient are taken from the fields above when these are set.
	WebSocket *wsconn.Options
	// Socket holds the limits and time-outs of connections to a unix socket.
	Socket *unixpacket.Options
}

// ConnectDevice registers a device with a server: at /register_device below an address
// that is ws, wss, http or https, or at the socket of an address such as
// unix:///run/cuttlefish/operator, where today's operator expects its devices. It
// returns when the config has arrived; ctx bounds only that. A refusal is a
// [*cuttlefish.Error].
func ConnectDevice(ctx context.Context, address, deviceID string, opts *DialDeviceOptions) (*cuttlefish.Device, error) {
	var o DialDeviceOptions
	if opts != nil {
		o = *opts
	}
	var device cuttlefish.DeviceOptions
	if o.Device != nil {
		device = *o.Device
	}
	dialect, dial, err := deviceDialer(address, &o)
	if err != nil {
		return nil, fmt.Errorf("cuttlefishhttp: %w", err)
	}
	device.Dialect = dialect
	if o.Reconnect {
		device.Redial = dial
	}
	conn, err := dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("cuttlefishhttp: dial: %w", err)
	}
	return cuttlefish.ConnectDevice(ctx, conn, deviceID, &device)
}

type dialFunc = func(ctx context.Context) (transport.Conn, error)

func deviceDialer(address string, o *DialDeviceOptions) (cuttlefish.Dialect, dialFunc, error) {
	u, err := url.Parse(address)
	if err != nil {
		return 0, nil, err
	}
	if u.Scheme == "unix" {
		return cuttlefish.DialectOperator, func(ctx context.Context) (transport.Conn, error) {
			return unixpacket.Dial(ctx, u.Path, o.Socket)
		}, nil
	}
	base, err := parseBase(address)
	if err != nil {
		return 0, nil, err
	}
	ws := socketOptions(o.WebSocket, o.Header, o.HTTPClient)
	ws.Subprotocols = []string{Subprotocol} // as the real devices ask
	return cuttlefish.DialectDocument, func(ctx context.Context) (transport.Conn, error) {
		return wsconn.Dial(ctx, (&api{base: base}).url("register_device"), ws)
	}, nil
}
