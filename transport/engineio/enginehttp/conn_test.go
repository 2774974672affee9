package enginehttp_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/conntest"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
)

// limit is the read limit in bytes of the tests of one: a type and a message.
const limit = 100_001

// patient is a write time-out that no test comes to.
const patient = time.Minute

func TestWebSocketIsAConn(t *testing.T) {
	t.Parallel()
	eachEnd(t, onlyWebSocket, &conntest.Options{MaxMessage: limit - 1, ReadLimit: limit - 1, WriteTimeout: brief})
}

func TestPollingIsAConn(t *testing.T) {
	t.Parallel()
	eachEnd(t, onlyPolling, &conntest.Options{NoCloseCodes: true, MaxMessage: 60_000, WriteTimeout: brief})
}

// TestUpgradedIsAConn: the messages of the tests come after the upgrade.
func TestUpgradedIsAConn(t *testing.T) {
	t.Parallel()
	eachEnd(t, upgrading, &conntest.Options{MaxMessage: limit - 1, ReadLimit: limit - 1, WriteTimeout: brief})
}

// eachEnd runs the tests for both versions from both ends.
func eachEnd(t *testing.T, transports []string, opts *conntest.Options) {
	versions(t, func(t *testing.T, v engineio.Version) {
		for _, from := range []string{"Server", "Client"} {
			t.Run("From"+from, func(t *testing.T) {
				t.Parallel()
				conntest.Run(t, func(t *testing.T) (a, b transport.Conn) {
					o := enginehttp.Options{ReadLimit: limit, WriteTimeout: patient, Transports: transports, Version: v}
					clients, servers := o, o
					// The end that writes is to give up, and is the only one.
					if strings.HasSuffix(t.Name(), "/PeerThatDoesNotReadIsGivenUp") ||
						strings.HasSuffix(t.Name(), "/CloseUnblocksWrite") {
						if from == "Server" {
							servers.WriteTimeout = brief
						} else {
							clients.WriteTimeout = brief
						}
					}
					server, client := serve(t, &servers).dial(t, &clients)
					if len(transports) == 2 {
						upgraded(t, server, client)
					}
					if from == "Server" {
						return server, client
					}
					return client, server
				}, opts)
			})
		}
	})
}
