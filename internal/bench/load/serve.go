package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/pprof"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishhttp"
	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtchttp"
	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouphttp"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/transport/unixpacket"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// serve is a server of ours, or the bare relay, until its standard input ends.
func serve(name, socket string, limited bool, profile string) error {
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	limit := 0.0 // the default
	if !limited {
		limit = -1 // the generator is not to be slowed
	}
	var handler http.Handler
	var drain func() error
	switch name {
	case "bare":
		handler, drain = new(bare), func() error { return nil }
	case "cuttlefish":
		srv := cuttlefish.NewServer(&cuttlefish.ServerOptions{
			Limits: cuttlefish.Limits{Messages: limit, Bytes: limit},
		})
		h := cuttlefishhttp.NewHandler(srv, nil)
		if socket != "" {
			listener, err := unixpacket.Listen(socket, nil)
			if err != nil {
				return err
			}
			defer listener.Close()
			go func() { _ = unixpacket.Serve(listener, srv.ServeOperatorDevice) }() // ends with the listener
		}
		handler, drain = h, func() error { return errors.Join(h.Close(), srv.Close()) }
	case "easyrtc":
		srv := easyrtc.NewServer(&easyrtc.ServerOptions{
			AllowAll: true, Limits: easyrtc.Limits{Messages: limit, Bytes: limit},
			ServerConfig: easyrtc.ServerConfig{RoomConnections: -1},
		})
		handler, drain = easyrtchttp.NewHandler(srv, nil), srv.Close
	case "galene":
		anybody := &galene.MemoryUser{AnyPassword: true, Set: "op"}
		srv := galene.NewServer(&galene.ServerOptions{
			Groups: galene.Groups{"bench": {Wildcard: anybody, Group: galene.Group{AutoSubgroups: true}}},
			Limits: galene.Limits{Messages: limit, Bytes: limit},
		})
		h := galenehttp.NewHandler(srv, nil)
		handler, drain = h, func() error { return errors.Join(h.Close(), srv.Close()) }
	case "mediasoup":
		srv := mediasoupproto.NewServer(&mediasoupproto.ServerOptions{
			AllowAll: true, Limits: mediasoupproto.Limits{Messages: limit, Bytes: limit},
		})
		handler, drain = mediasouphttp.NewHandler(srv, nil), srv.Close
	case "mse":
		srv := msejsonrpc.NewServer(&msejsonrpc.ServerOptions{
			AllowAll: true, Limits: msejsonrpc.Limits{Messages: limit, Bytes: limit},
		})
		handler, drain = wsconn.Handler(srv.Serve, nil), srv.Close
	default:
		return fmt.Errorf("there is no server %q", name)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	web := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	ctx, stop := drained()
	defer stop()
	go func() {
		select {
		case <-ctx.Done():
		case <-ended(os.Stdin):
		}
		_ = drain() // tells everybody
		_ = web.Close()
	}()
	fmt.Printf("{\"port\":%d}\n", listener.Addr().(*net.TCPAddr).Port)
	if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// ended is closed at the end of an input.
func ended(r io.Reader) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(io.Discard, r)
	}()
	return done
}

// A bare is a relay on coder/websocket that moves bytes without looking at them: what a member
// of a group, the path of its address, says goes to all others. A Reader and a buffer that is
// used again are what coder/websocket is fastest with.
type bare struct {
	mu     sync.Mutex
	groups map[string][]*bareMember
}

type bareMember struct {
	conn    *websocket.Conn
	writing sync.Mutex
}

// ServeHTTP implements http.Handler.
func (b *bare) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		return
	}
	defer conn.CloseNow()
	conn.SetReadLimit(1 << 20)
	m, group := &bareMember{conn: conn}, r.URL.Path
	b.mu.Lock()
	if b.groups == nil {
		b.groups = make(map[string][]*bareMember)
	}
	b.groups[group] = append(slices.Clone(b.groups[group]), m)
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.groups[group] = slices.DeleteFunc(slices.Clone(b.groups[group]), func(o *bareMember) bool { return o == m })
	}()
	if m.write([]byte("joined")) != nil {
		return
	}
	ctx := context.Background()
	buf := make([]byte, 0, 16<<10)
	for {
		_, reader, err := conn.Reader(ctx)
		if err != nil {
			return
		}
		buf = buf[:0]
		for err == nil {
			if len(buf) == cap(buf) {
				buf = append(buf, 0)[:len(buf)]
			}
			var n int
			n, err = reader.Read(buf[len(buf):cap(buf)])
			buf = buf[:len(buf)+n]
		}
		if !errors.Is(err, io.EOF) {
			return
		}
		b.mu.Lock()
		members := b.groups[group]
		b.mu.Unlock()
		for _, o := range members {
			if o != m {
				_ = o.write(buf) // its own reader ends it
			}
		}
	}
}

func (m *bareMember) write(text []byte) error {
	m.writing.Lock()
	defer m.writing.Unlock()
	return m.conn.Write(context.Background(), websocket.MessageText, text)
}
