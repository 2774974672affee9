package enginehttp_test

import (
	"testing"
	"time"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/conntest"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
)

// limit is the read limit in bytes of the tests of one: a type and a message.
const limit = 100_001

func TestWebSocketIsAConn(t *testing.T) {
	t.Parallel()
	run(t, onlyWebSocket, &conntest.Options{MaxMessage: 100_000, ReadLimit: limit - 1, WriteTimeout: brief})
}

func TestPollingIsAConn(t *testing.T) {
	t.Parallel()
	run(t, onlyPolling, &conntest.Options{NoCloseCodes: true, MaxMessage: 60_000, WriteTimeout: brief})
}

// TestChangingIsAConn: the messages of each test come while the transport
// changes, or after.
func TestUpgradedIsAConn(t *testing.T) {
	t.Parallel()
	versions(t, func(t *testing.T, v engineio.Version) {
		conntest.Run(t, func(t *testing.T) (a, b transport.Conn) {
			opts := enginehttp.Options{WriteTimeout: brief, Transports: upgrading, Version: v}
			server, client := serve(t, &opts).dial(t, &opts)
			upgraded(t, server, client)
			return server, client
		}, &conntest.Options{MaxMessage: 100_000, WriteTimeout: brief})
	})
}

func run(t *testing.T, transports []string, opts *conntest.Options) {
	versions(t, func(t *testing.T, v engineio.Version) {
		for _, from := range []string{"Server", "Client"} {
			t.Run("From"+from, func(t *testing.T) {
				t.Parallel()
				conntest.Run(t, func(t *testing.T) (a, b transport.Conn) {
					o := enginehttp.Options{ReadLimit: limit, WriteTimeout: brief, Transports: transports, Version: v}
					clients, servers := o, o
					if from == "Client" {
						// The server must not be the first to give up.
						servers.WriteTimeout = 10 * time.Second
					}
					server, client := serve(t, &servers).dial(t, &clients)
					if from == "Server" {
						return server, client
					}
					return client, server
				}, opts)
			})
		}
	})
}
