package faults

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishhttp"
	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtchttp"
	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouphttp"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// room is the name of the only room, group or device.
const room = "lobby"

func quoted(text string) json.RawMessage {
	b, _ := json.Marshal(text) // a string always can be
	return b
}

func unquoted(b json.RawMessage) (text string) {
	_ = json.Unmarshal(b, &text) // what is no string says nothing
	return text
}

func dialWebSocket(ctx context.Context, at place, path string) (transport.Conn, error) {
	return wsconn.Dial(ctx, at.url+path, &wsconn.Options{HTTPClient: at.client})
}

var cuttlefishRow = protocol{
	name: "cuttlefish", presence: true, silent: 10 * time.Second, machine: newCuttlefishMachine,
	serve: func(set settings) *server {
		o := &cuttlefish.ServerOptions{ServerConfig: cuttlefish.ServerConfig{
			WaitForDevice: true, ParkClients: true, ReplaceExisting: true,
			ClientsPerDevice: -1, Waiting: -1, WaitingPerDevice: -1,
		}}
		o.Limits = cuttlefish.Limits(set.limits)
		srv := cuttlefish.NewServer(o)
		h := cuttlefishhttp.NewHandler(srv, &cuttlefishhttp.Options{WebSocket: &set.carrier})
		return &server{
			Handler: h, close: func() error {
				_ = h.Close()
				return srv.Close()
			},
			sessions: func() int { return len(slices.Collect(srv.Sessions())) },
			members: func() (n int) {
				for s := range srv.Sessions() {
					if _, ok := s.State(); ok && s.DeviceID() != "" {
						n++
					}
				}
				return n
			},
		}
	},
	dial: func(ctx context.Context, at place, _ string, host bool) (transport.Conn, error) {
		if host {
			return dialWebSocket(ctx, at, "/register_device")
		}
		return dialWebSocket(ctx, at, "/connect_client")
	},
	join: func(ctx context.Context, conn transport.Conn, _ string, host bool, again comeback) (*voice, error) {
		if !host {
			c, err := cuttlefish.ConnectClient(ctx, conn, room, &cuttlefish.ClientOptions{
				Redial: again.redial, Backoff: cuttlefish.Backoff(again.backoff), Inbox: again.inbox,
			})
			if err != nil {
				return nil, err
			}
			return &voice{
				next: func(ctx context.Context) (occurrence, error) {
					m, err := c.Next(ctx)
					switch m := m.(type) {
					case *cuttlefish.DeviceMsg:
						return occurrence{kind: said, text: unquoted(m.Payload)}, err
					case *cuttlefish.Reconnected:
						return occurrence{kind: back}, err
					}
					return occurrence{}, err
				},
				say:   func(text string) error { return c.Forward(quoted(text)) },
				close: c.Close, done: c.Done(), err: c.Err,
			}, nil
		}
		d, err := cuttlefish.ConnectDevice(ctx, conn, room, &cuttlefish.DeviceOptions{
			Redial: again.redial, Backoff: cuttlefish.Backoff(again.backoff), Inbox: again.inbox,
		})
		if err != nil {
			return nil, err
		}
		return &voice{
			next: func(ctx context.Context) (occurrence, error) {
				m, err := d.Next(ctx)
				switch m := m.(type) {
				case *cuttlefish.ClientMsg:
					return occurrence{said, strconv.Itoa(m.ClientID), unquoted(m.Payload)}, err
				case *cuttlefish.ClientDisconnected:
					return occurrence{kind: left, who: strconv.Itoa(m.ClientID)}, err
				case *cuttlefish.Reconnected:
					return occurrence{kind: back}, err
				}
				return occurrence{}, err
			},
			answer: func(who, text string) error {
				id, err := strconv.Atoi(who)
				if err != nil {
					return err
				}
				return d.Forward(id, quoted(text))
			},
			close: d.Close, done: d.Done(), err: d.Err,
		}, nil
	},
}

var easyrtcRow = protocol{
	name: "easyrtc", presence: true, silent: 45 * time.Second, machine: newEasyrtcMachine,
	lost: easyrtc.ErrConnectionLost,
	serve: func(set settings) *server {
		o := &easyrtc.ServerOptions{AllowAll: true, ServerConfig: easyrtc.ServerConfig{RoomConnections: -1}}
		o.Limits = easyrtc.Limits(set.limits)
		srv := easyrtc.NewServer(o)
		return &server{
			Handler: easyrtchttp.NewHandler(srv, &easyrtchttp.Options{
				HTTP: &enginehttp.Options{
					WriteTimeout: set.carrier.WriteTimeout,
					PingInterval: set.pingInterval, PingTimeout: set.pingTimeout,
				},
			}), close: srv.Close,
			sessions: func() int { return len(slices.Collect(srv.Sessions())) },
			members:  func() int { return len(srv.Occupants("default", room)) },
		}
	},
	dial: func(ctx context.Context, at place, _ string, _ bool) (transport.Conn, error) {
		return easyrtchttp.Dial(ctx, at.url, &easyrtchttp.DialOptions{HTTP: &enginehttp.Options{HTTPClient: at.client}})
	},
	join: func(ctx context.Context, conn transport.Conn, name string, _ bool, again comeback) (*voice, error) {
		c, err := easyrtc.Connect(ctx, conn, &easyrtc.ClientOptions{
			Redial: again.redial, Backoff: easyrtc.Backoff(again.backoff), Inbox: again.inbox,
		})
		if err != nil {
			return nil, err
		}
		if _, err := c.Login(ctx, &easyrtc.Login{Username: name, Rooms: []string{room}}); err != nil {
			_ = c.Close()
			return nil, err
		}
		return &voice{
			next: func(ctx context.Context) (occurrence, error) {
				m, err := c.Next(ctx)
				switch m := m.(type) {
				case *easyrtc.Msg:
					return occurrence{said, m.SenderEasyrtcID, unquoted(m.MsgData)}, err
				case *easyrtc.RoomData:
					if m.MsgData != nil && m.MsgData.RoomData[room] != nil {
						if delta := m.MsgData.RoomData[room].ClientListDelta; delta != nil {
							for who := range delta.RemoveClient {
								return occurrence{kind: left, who: who}, err
							}
						}
					}
				case *easyrtc.Reconnected:
					return occurrence{kind: back}, err
				}
				return occurrence{}, err
			},
			say: func(text string) error {
				return c.Send(&easyrtc.Msg{MsgType: "say", TargetRoom: room, MsgData: quoted(text)})
			},
			answer: func(who, text string) error {
				return c.Send(&easyrtc.Msg{MsgType: "say", TargetEasyrtcID: who, MsgData: quoted(text)})
			},
			close: c.Close, done: c.Done(), err: c.Err,
		}, nil
	},
}

var galeneRow = protocol{
	name: "galene", presence: true, silent: 15 * time.Second, machine: newGaleneMachine,
	lost: galene.ErrConnectionLost,
	serve: func(set settings) *server {
		o := &galene.ServerOptions{ServerConfig: galene.ServerConfig{Members: -1}, Groups: galene.Groups{room: {
			Group: galene.Group{Public: true}, Wildcard: &galene.MemoryUser{AnyPassword: true, Set: "message"},
		}}}
		o.Limits = galene.Limits(set.limits)
		srv := galene.NewServer(o)
		return &server{
			Handler: galenehttp.NewHandler(srv, &galenehttp.Options{WebSocket: &set.carrier}), close: srv.Close,
			sessions: func() int { return len(slices.Collect(srv.Sessions())) },
			members: func() int {
				s, err := srv.Status(context.Background(), room)
				if err != nil || s.ClientCount == nil {
					return -1
				}
				return *s.ClientCount
			},
		}
	},
	dial: func(ctx context.Context, at place, _ string, _ bool) (transport.Conn, error) {
		return dialWebSocket(ctx, at, "/ws")
	},
	join: func(ctx context.Context, conn transport.Conn, name string, _ bool, again comeback) (*voice, error) {
		c, err := galene.Connect(ctx, conn, &galene.ClientOptions{
			Redial: again.redial, Backoff: galene.Backoff(again.backoff), Inbox: again.inbox,
		})
		if err != nil {
			return nil, err
		}
		if _, err := c.Join(ctx, &galene.Join{Kind: galene.JoinJoin, Group: room, Username: &name}); err != nil {
			_ = c.Close()
			return nil, err
		}
		return &voice{
			next: func(ctx context.Context) (occurrence, error) {
				m, err := c.Next(ctx)
				switch m := m.(type) {
				case *galene.Chat:
					return occurrence{said, m.Source, unquoted(m.Value)}, err
				case *galene.User:
					if m.Kind == galene.UserDelete {
						return occurrence{kind: left, who: m.ID}, err
					}
				case *galene.Reconnected:
					return occurrence{kind: back}, err
				}
				return occurrence{}, err
			},
			say: c.Chat, answer: c.ChatTo,
			close: c.Close, done: c.Done(), err: c.Err,
		}, nil
	},
}

var mediasoupRow = protocol{
	name: "mediasoupproto", presence: true, silent: 15 * time.Second, machine: newMediasoupMachine,
	lost: mediasoupproto.ErrConnectionLost,
	serve: func(set settings) *server {
		var joined atomic.Int64
		var srv *mediasoupproto.Server
		o := &mediasoupproto.ServerOptions{
			AllowAll:     true,
			ServerConfig: mediasoupproto.ServerConfig{Peers: -1, RoomBytes: -1},
			Message: func(
				_ context.Context, s *mediasoupproto.ServerSession, m *mediasoupproto.Application,
			) (json.RawMessage, error) {
				p, _ := s.Peer()
				return nil, srv.SendRoom(room, &mediasoupproto.Application{Method: p.PeerName, Data: m.Data})
			},
			OnJoined: func(context.Context, *mediasoupproto.ServerSession) { joined.Add(1) },
			OnLeft: func(context.Context, *mediasoupproto.ServerSession, mediasoupproto.Departure) {
				joined.Add(-1)
			},
		}
		o.Limits = mediasoupproto.Limits(set.limits)
		srv = mediasoupproto.NewServer(o)
		return &server{
			Handler: mediasouphttp.NewHandler(srv, &mediasouphttp.Options{WebSocket: &set.carrier}), close: srv.Close,
			sessions: func() int { return len(slices.Collect(srv.Sessions())) },
			members:  func() int { return int(joined.Load()) },
		}
	},
	dial: func(ctx context.Context, at place, name string, _ bool) (transport.Conn, error) {
		url, err := mediasouphttp.URL(at.url, room, name)
		if err != nil {
			return nil, err
		}
		return mediasouphttp.Dial(ctx, url, &mediasouphttp.DialOptions{WebSocket: &wsconn.Options{HTTPClient: at.client}})
	},
	join: func(ctx context.Context, conn transport.Conn, name string, _ bool, again comeback) (*voice, error) {
		c, err := mediasoupproto.Connect(ctx, conn, &mediasoupproto.ClientOptions{
			Redial: again.redial, Backoff: mediasoupproto.Backoff(again.backoff), Inbox: again.inbox,
		})
		if err != nil {
			return nil, err
		}
		join := &mediasoupproto.Join{PeerName: name, RTPCapabilities: mediasoupproto.DefaultCapabilities()}
		if _, err := c.Join(ctx, join); err != nil {
			_ = c.Close()
			return nil, err
		}
		say := func(text string) error {
			return c.Send(&mediasoupproto.Application{Method: "say", Data: quoted(text)})
		}
		return &voice{
			next: func(ctx context.Context) (occurrence, error) {
				m, err := c.Next(ctx)
				switch m := m.(type) {
				case *mediasoupproto.Application:
					return occurrence{said, m.Method, unquoted(m.Data)}, err
				case *mediasoupproto.PeerClosed:
					return occurrence{kind: left, who: m.Name}, err
				case *mediasoupproto.Reconnected:
					return occurrence{kind: back}, err
				}
				return occurrence{}, err
			},
			say: say, answer: func(_, text string) error { return say(text) },
			close: c.Close, done: c.Done(), err: c.Err,
		}, nil
	},
}

var mseRow = protocol{
	name: "msejsonrpc", silent: 10 * time.Second, machine: newMSEMachine,
	lost: msejsonrpc.ErrConnectionLost,
	serve: func(set settings) *server {
		o := &msejsonrpc.ServerOptions{
			ServerConfig: msejsonrpc.ServerConfig{Chat: true},
			Authenticate: func(
				_ context.Context, _ *msejsonrpc.ServerSession, a *msejsonrpc.Auth,
			) (*msejsonrpc.Identity, error) {
				return &msejsonrpc.Identity{UserID: a.Token, RoomID: room}, nil
			},
		}
		o.Limits = msejsonrpc.Limits(set.limits)
		srv := msejsonrpc.NewServer(o)
		return &server{
			Handler: wsconn.Handler(srv.Serve, &set.carrier), close: srv.Close,
			sessions: func() int { return len(slices.Collect(srv.Sessions())) },
			members: func() (n int) {
				for s := range srv.Sessions() {
					if state, ok := s.State(); ok && state == msejsonrpc.ServerActive {
						n++
					}
				}
				return n
			},
		}
	},
	dial: func(ctx context.Context, at place, _ string, _ bool) (transport.Conn, error) {
		return dialWebSocket(ctx, at, "/")
	},
	join: func(ctx context.Context, conn transport.Conn, name string, _ bool, again comeback) (*voice, error) {
		c, err := msejsonrpc.Connect(ctx, conn, &msejsonrpc.ClientOptions{
			Token: name, Redial: again.redial, Backoff: msejsonrpc.Backoff(again.backoff), Inbox: again.inbox,
		})
		if err != nil {
			return nil, err
		}
		return &voice{
			next: func(ctx context.Context) (occurrence, error) {
				m, err := c.Next(ctx)
				switch m := m.(type) {
				case *msejsonrpc.Chat:
					return occurrence{said, unquoted(m.Attachment), m.Message}, err
				case *msejsonrpc.Reconnected:
					return occurrence{kind: back}, err
				}
				return occurrence{}, err
			},
			say:    func(text string) error { return c.Chat(text, quoted(name), "host") },
			answer: func(who, text string) error { return c.Chat(text, nil, who) },
			close:  c.Close, done: c.Done(), err: c.Err,
		}, nil
	},
}
