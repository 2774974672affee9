package wsconn_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"

	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// Behind a proxy that says in a header where a request comes from, and lets no client say it.
func ExampleGate() {
	gate := &wsconn.Gate{
		PerAddress: 1,
		Address: func(r *http.Request) netip.Addr {
			addr, _ := netip.ParseAddr(r.Header.Get("X-Real-IP"))
			return addr
		},
	}
	// A wsconn.Handler with Options{Gate: gate} does what follows for each connection.
	for _, from := range []string{"192.0.2.1", "192.0.2.1", "2001:db8::1"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("X-Real-IP", from)
		w := httptest.NewRecorder()
		if leave, ok := gate.Enter(w, r); ok {
			defer leave()
		}
		fmt.Println(from, w.Code)
	}
	fmt.Println(gate.Stats().Refused, "refused")
	// Output:
	// 192.0.2.1 200
	// 192.0.2.1 429
	// 2001:db8::1 200
	// 1 refused
}
