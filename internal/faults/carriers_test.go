package faults

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http/httptest"
	"time"

	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtchttp"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
)

// trusted is for servers with TLS, trusting for their clients.
var trusted, trusting = certify()

func certify() (server, client *tls.Config) {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &tls.Config{Certificates: s.TLS.Certificates}, &tls.Config{RootCAs: roots, ServerName: "example.com"}
}

// overTLS is a row whose connections are encrypted.
func overTLS(p protocol) protocol {
	p.name += " over TLS"
	p.tls = true
	return p
}

// pollingRow is EasyRTC where WebSockets do not get through. Each request has a connection of
// its own; a client whose requests do not come any more is missed by its heartbeat.
var pollingRow = polling()

func polling() protocol {
	p := easyrtcRow
	p.name += " by polling"
	p.lingers = 50 * time.Second
	p.dial = func(ctx context.Context, at place, _ string, _ bool) (transport.Conn, error) {
		return easyrtchttp.Dial(ctx, at.url, &easyrtchttp.DialOptions{HTTP: &enginehttp.Options{
			HTTPClient: at.client, Transports: []string{enginehttp.Polling},
		}})
	}
	return p
}
