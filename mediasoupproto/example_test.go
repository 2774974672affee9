package mediasoupproto_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/transport"
)

func ExampleDecode() {
	m, err := mediasoupproto.Decode([]byte(`{"request":true,"id":7,"method":"mediasoup-request","data":` +
		`{"method":"enableConsumer","target":"peer","id":12,"transportId":34,"paused":false}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	switch m := m.(type) {
	case *mediasoupproto.EnableConsumer:
		fmt.Println("request", m.RequestID, "wants consumer", m.ID, "over transport", m.TransportID)
	}

	_, err = mediasoupproto.Decode([]byte(`{"request":true,"id":8,"method":"mediasoup-request","data":` +
		`{"method":"enableConsumer","target":"peer","id":"twelve"}}`))
	if e, ok := errors.AsType[*mediasoupproto.DecodeError](err); ok {
		fmt.Println(e.RequestID, e.Type, e.Field)
	}
	// Output:
	// request 7 wants consumer 12 over transport 34
	// 8 enableConsumer id
}

func ExampleEncode() {
	pause := &mediasoupproto.PauseProducer{ID: 12, AppData: json.RawMessage(`{"by":"user"}`)}
	b, err := mediasoupproto.Encode(pause)
	fmt.Println(string(b), err)

	// Without a framing, for an application that has its own.
	b, err = mediasoupproto.EncodePayload(pause)
	fmt.Println(string(b), err)
	// Output:
	// {"notification":true,"method":"mediasoup-notification","data":{"method":"pauseProducer","target":"peer","notification":true,"id":12,"appData":{"by":"user"}}} <nil>
	// {"method":"pauseProducer","target":"peer","notification":true,"id":12,"appData":{"by":"user"}} <nil>
}

// Strict is for what one sends, Compat for what one receives.
func ExampleRules_Validate() {
	m := &mediasoupproto.CreateTransport{ID: 1}
	fmt.Println(mediasoupproto.Compat.Validate(m))
	fmt.Println(mediasoupproto.Strict.Validate(m))

	// What a server answers to a message that it does not take.
	err := mediasoupproto.Compat.Validate(&mediasoupproto.EnableConsumer{ID: 12})
	if e, ok := errors.AsType[*mediasoupproto.ValidationError](err); ok {
		fmt.Println(e.Field, "-", e.Answer.Reason)
	}
	// Output:
	// <nil>
	// mediasoupproto: invalid createTransport: direction: is neither send nor recv
	// transportId - TypeError: Transport not found
}

// device is what a client can do, in numbers of its own.
func device() *mediasoupproto.RTPCapabilities {
	return &mediasoupproto.RTPCapabilities{
		Codecs: []mediasoupproto.CodecCapability{
			{Kind: mediasoupproto.Audio, Name: "opus", ClockRate: 48000, Channels: 2, PreferredPayloadType: 111},
			{Kind: mediasoupproto.Audio, Name: "G722", ClockRate: 8000, Channels: 1, PreferredPayloadType: 9},
		},
		HeaderExtensions: []mediasoupproto.HeaderExtensionCapability{
			{Kind: mediasoupproto.Audio, URI: mediasoupproto.ExtensionAudioLevel, PreferredID: 5},
		},
	}
}

// A client computes what it has in common with a room: what it says when it joins, in the
// numbers of the room, and how it sends, in its own.
func ExampleExtendRTPCapabilities() {
	room, err := mediasoupproto.GenerateRoomRTPCapabilities(mediasoupproto.DefaultCodecs())
	if err != nil {
		fmt.Println(err)
		return
	}
	common := mediasoupproto.ExtendRTPCapabilities(device(), room)
	fmt.Println("audio:", common.CanSend(mediasoupproto.Audio), "video:", common.CanSend(mediasoupproto.Video))
	for _, c := range common.RTPCapabilities().Codecs {
		fmt.Println("receives", c.Name, "as", c.PreferredPayloadType)
	}
	for _, c := range common.SendingRTPParameters(mediasoupproto.Audio).Codecs {
		fmt.Println("sends", c.Name, "as", *c.PayloadType)
	}
	missing, err := common.Unsupported(room, []uint8{101})
	fmt.Println("lacks", missing[0].Name, err)
	// Output:
	// audio: true video: false
	// receives opus as 100
	// sends opus as 111
	// lacks VP8 <nil>
}

// enter connects a client to a server over memory, and joins. Over a network the connection
// comes from package wsconn, with the subprotocol of mediasoupproto.Subprotocol.
func enter(ctx context.Context, server *mediasoupproto.Server, name string) (
	*mediasoupproto.Client, *mediasoupproto.ExtendedRTPCapabilities, error,
) {
	near, far := transport.Pipe()
	go func() { _ = server.Serve(context.Background(), far) }()
	client, err := mediasoupproto.Connect(ctx, near, nil)
	if err != nil {
		return nil, nil, err
	}
	room, err := client.QueryRoom(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, client.Close())
	}
	common := mediasoupproto.ExtendRTPCapabilities(device(), room.RTPCapabilities)
	_, err = client.Join(ctx, &mediasoupproto.Join{PeerName: name, RTPCapabilities: common.RTPCapabilities()})
	if err != nil {
		return nil, nil, errors.Join(err, client.Close())
	}
	return client, common, nil
}

// produce makes a transport and sends audio over it.
func produce(ctx context.Context, client *mediasoupproto.Client, common *mediasoupproto.ExtendedRTPCapabilities) error {
	id := mediasoupproto.NewID()
	_, err := client.CreateTransport(ctx, &mediasoupproto.CreateTransport{
		ID: id, Direction: mediasoupproto.DirectionSend,
		DTLSParameters: &mediasoupproto.DTLSParameters{
			Role:         mediasoupproto.DTLSRoleServer,
			Fingerprints: []mediasoupproto.Fingerprint{{Algorithm: "sha-256", Value: "AB:CD"}},
		},
	})
	if err != nil {
		return err
	}
	params := common.SendingRTPParameters(mediasoupproto.Audio)
	params.MuxID, params.Encodings = "0", []mediasoupproto.Encoding{{SSRC: 12345}}
	return client.CreateProducer(ctx, &mediasoupproto.CreateProducer{
		ID: mediasoupproto.NewID(), Kind: mediasoupproto.Audio, TransportID: id, RTPParameters: params,
		AppData: json.RawMessage(`{"source":"microphone"}`),
	})
}

// consume makes a transport and receives a consumer over it.
func consume(ctx context.Context, client *mediasoupproto.Client, id uint32) (
	*mediasoupproto.EnableConsumerResult, error,
) {
	recv := mediasoupproto.NewID()
	_, err := client.CreateTransport(ctx, &mediasoupproto.CreateTransport{
		ID: recv, Direction: mediasoupproto.DirectionRecv,
	})
	if err != nil {
		return nil, err
	}
	err = client.UpdateTransport(&mediasoupproto.UpdateTransport{ID: recv, DTLSParameters: &mediasoupproto.DTLSParameters{
		Role:         mediasoupproto.DTLSRoleClient,
		Fingerprints: []mediasoupproto.Fingerprint{{Algorithm: "sha-256", Value: "EF:01"}},
	}})
	if err != nil {
		return nil, err
	}
	return client.EnableConsumer(ctx, &mediasoupproto.EnableConsumer{ID: id, TransportID: recv})
}

// Alice sends, and Bob receives from her. The media are moved by nobody here: package
// mediasouppion has an engine for servers, and bots that send and receive.
func ExampleConnect() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	server := mediasoupproto.NewServer(&mediasoupproto.ServerOptions{
		AllowAll: true,
		Media:    &mediasoupproto.NullEngine{Effective: mediasoupproto.ProfileDefault},
	})
	bob, _, err := enter(ctx, server, "bob")
	if err != nil {
		fmt.Println(err)
		return
	}
	alice, common, err := enter(ctx, server, "alice")
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := produce(ctx, alice, common); err != nil {
		fmt.Println(err)
		return
	}
	for m, err := range bob.Messages(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		switch m := m.(type) {
		case *mediasoupproto.NewPeer:
			fmt.Println(m.Name, "has joined")
		case *mediasoupproto.NewConsumer:
			state, err := consume(ctx, bob, m.ID)
			if err != nil {
				fmt.Println(err)
				return
			}
			fmt.Println("receives", m.Kind, "of", m.PeerName, string(m.AppData), "profile", *state.EffectiveProfile)
			_ = alice.Leave(json.RawMessage(`"bye"`))
		case *mediasoupproto.PeerClosed:
			fmt.Println(m.Name, "has left:", string(m.AppData))
			_ = bob.Close() // which ends the loop
		}
	}
	fmt.Println(bob.Err(), alice.Close(), server.Close())
	// Output:
	// alice has joined
	// receives audio of alice {"source":"microphone"} profile default
	// alice has left: "bye"
	// <nil> <nil> <nil>
}

// A refusal is an error with the server's reason.
func ExampleClient_Join() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	server := mediasoupproto.NewServer(&mediasoupproto.ServerOptions{
		Authenticate: func(_ context.Context, _ *mediasoupproto.ServerSession, m *mediasoupproto.Join) error {
			if m.PeerName != "alice" {
				return mediasoupproto.ErrNotAuthorised
			}
			return nil
		},
	})
	_, _, err := enter(ctx, server, "mallory")
	fmt.Println(err, errors.Is(err, mediasoupproto.ErrNotAuthorised))
	alice, _, err := enter(ctx, server, "alice")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, _, err = enter(ctx, server, "alice")
	if e, ok := errors.AsType[*mediasoupproto.Error](err); ok {
		fmt.Println(e.Code, e.Reason)
	}

	// What the server would refuse is not even sent.
	fmt.Println(alice.Send(&mediasoupproto.PauseProducer{}))
	_, err = alice.Join(ctx, new(mediasoupproto.Join))
	fmt.Println(err)
	fmt.Println(alice.Close(), server.Close())
	// Output:
	// mediasoupproto: not authorised (403) true
	// 500 Error: duplicated Peer [peerName:"alice"]
	// mediasoupproto: invalid pauseProducer: id: must be an integer from 1 to 4294967295
	// mediasoupproto: cannot send join while joined (only while left or new)
	// <nil> <nil>
}

// lines is a framing of its own: "? 7 data" asks, "= 7 data" answers, "! 7 reason" refuses,
// and ". data" tells.
type lines struct{}

func (lines) Open(conn transport.Conn, _ bool) transport.Conn { return conn }

func (lines) Parse(typ transport.MessageType, data []byte) (f mediasoupproto.Frame, err error) {
	kind, rest, _ := bytes.Cut(data, []byte(" "))
	if typ != transport.Text || len(kind) != 1 {
		return f, errors.New("not a line")
	}
	f.Method = mediasoupproto.MethodRequest
	if kind[0] == '.' {
		f.Kind, f.Method, f.Data = mediasoupproto.FrameNotification, mediasoupproto.MethodNotification, rest
		return f, nil
	}
	id, rest, _ := bytes.Cut(rest, []byte(" "))
	n, err := strconv.ParseUint(string(id), 10, 32)
	if err != nil {
		return f, err
	}
	f.ID, f.Data = mediasoupproto.NumberID(n), rest
	switch kind[0] {
	case '?':
		f.Kind = mediasoupproto.FrameRequest
	case '=':
		f.Kind, f.Method = mediasoupproto.FrameResponse, ""
	case '!':
		f.Kind, f.Method, f.Data = mediasoupproto.FrameResponse, "", nil
		f.Error = &mediasoupproto.Error{Reason: string(rest)}
	default:
		return f, errors.New("not a line")
	}
	return f, nil
}

func (lines) AppendHead(dst []byte, f *mediasoupproto.Frame) ([]byte, error) {
	switch {
	case f.Error != nil:
		return append(dst, "! "+string(f.ID)+" "+f.Error.Reason...), nil
	case f.Kind == mediasoupproto.FrameResponse:
		return append(dst, "= "+string(f.ID)+" "...), nil
	case f.Method == mediasoupproto.MethodRequest:
		return append(dst, "? "+string(f.ID)+" "...), nil
	case f.Method == mediasoupproto.MethodNotification:
		return append(dst, ". "...), nil
	}
	return dst, errors.New("of the application: it has no form here")
}

func (lines) AppendTail(dst []byte, _ *mediasoupproto.Frame) []byte { return dst }

// An application that puts mediasoup's messages into its own envelope has a Framing of its
// own, which clients and servers take.
func ExampleFraming() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	b, err := mediasoupproto.EncodeFramed(lines{}, &mediasoupproto.PauseProducer{ID: 12})
	fmt.Println(string(b), err)

	server := mediasoupproto.NewServer(&mediasoupproto.ServerOptions{Framing: lines{}, AllowAll: true})
	near, far := transport.Pipe()
	go func() { _ = server.Serve(context.Background(), far) }()
	client, err := mediasoupproto.Connect(ctx, near, &mediasoupproto.ClientOptions{Framing: lines{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	room, err := client.QueryRoom(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(room.RTPCapabilities.Codecs), "codecs")
	_, err = client.Join(ctx, &mediasoupproto.Join{PeerName: "alice", RTPCapabilities: room.RTPCapabilities})
	fmt.Println(err, client.State())
	_, err = client.RestartTransport(ctx, 5)
	fmt.Println(err)
	_, err = client.Ask(ctx, "mine", nil)
	fmt.Println(err)
	fmt.Println(client.Close(), server.Close())
	// Output:
	// . {"method":"pauseProducer","target":"peer","notification":true,"id":12} <nil>
	// 5 codecs
	// <nil> joined
	// mediasoupproto: Error: Transport not found
	// mediasoupproto: invalid application message: message: of the application: it has no form here
	// <nil> <nil>
}

// A machine is a server without connections: whoever drives it brings the messages, and
// carries out what it asks for.
func ExampleServerMachine() {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	machine := mediasoupproto.NewServerMachine(mediasoupproto.ServerConfig{})
	var show func(fx mediasoupproto.ServerEffects)
	show = func(fx mediasoupproto.ServerEffects) {
		for _, d := range fx.Send {
			b, err := mediasoupproto.Encode(d.Message)
			if err != nil {
				fmt.Println(err)
			}
			fmt.Println("to", d.To, string(b))
		}
		for _, q := range fx.Ask { // whether somebody may join
			show(machine.Decide(now, q.Ticket, mediasoupproto.Decision{}))
		}
		for _, op := range fx.Media {
			fmt.Println("media", op.Kind == mediasoupproto.MediaOpenRoom, op.Room)
		}
	}
	receive := func(id mediasoupproto.PeerID, wire string) {
		m, err := mediasoupproto.Decode([]byte(wire))
		if err != nil {
			fmt.Println(err)
			return
		}
		show(machine.Receive(now, id, m))
	}
	join := `{"request":true,"id":1,"method":"mediasoup-request","data":{"method":"join","target":"room","peerName":%q,` +
		`"rtpCapabilities":{"codecs":[],"headerExtensions":[]}}}`
	for id, name := range []string{"alice", "bob"} {
		show(machine.Connect(now, mediasoupproto.PeerID(id), mediasoupproto.Connection{Room: "demo"}))
		receive(mediasoupproto.PeerID(id), fmt.Sprintf(join, name))
	}
	at, ok := machine.Deadline()
	fmt.Println("deadline", at.IsZero(), ok)
	show(machine.Disconnect(now, 0))
	// Output:
	// to 0 {"response":true,"id":1,"ok":true,"data":{"peers":[]}}
	// media true demo
	// to 0 {"notification":true,"method":"mediasoup-notification","data":{"method":"newPeer","target":"peer","notification":true,"consumers":[],"name":"bob"}}
	// to 1 {"response":true,"id":1,"ok":true,"data":{"peers":[{"consumers":[],"name":"alice"}]}}
	// deadline true false
	// to 1 {"notification":true,"method":"mediasoup-notification","data":{"method":"peerClosed","target":"peer","notification":true,"name":"alice"}}
}

// A machine of a client, driven by hand: what belongs to one transport waits for it.
func ExampleClientMachine() {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	machine := mediasoupproto.NewClientMachine(mediasoupproto.ClientConfig{})
	show := func(fx mediasoupproto.Effects, err error) {
		if err != nil {
			fmt.Println(err)
		}
		for _, m := range fx.Send {
			fmt.Printf("send %T\n", m)
		}
		for _, r := range fx.Done {
			fmt.Printf("done %T: %v\n", r.Request, r.Err)
		}
	}
	answer := func(id uint64, result string) {
		show(machine.Receive(now, &mediasoupproto.Response{
			Head: mediasoupproto.Head{RequestID: mediasoupproto.NumberID(id)}, Result: json.RawMessage(result),
		}), nil)
	}
	show(machine.Start(now), nil)
	show(machine.Send(now, &mediasoupproto.Join{PeerName: "alice", RTPCapabilities: mediasoupproto.DefaultCapabilities()}))
	answer(1, `{"peers":[]}`)
	show(machine.Send(now, &mediasoupproto.CreateTransport{ID: 5, Direction: mediasoupproto.DirectionSend}))
	show(machine.Send(now, &mediasoupproto.RestartTransport{ID: 5}))
	show(machine.Send(now, &mediasoupproto.CloseTransport{ID: 5}))
	answer(2, `{}`)
	// Output:
	// send *mediasoupproto.Join
	// done *mediasoupproto.Join: <nil>
	// send *mediasoupproto.CreateTransport
	// send *mediasoupproto.CloseTransport
	// done *mediasoupproto.RestartTransport: mediasoupproto: transport closed
	// done *mediasoupproto.CreateTransport: <nil>
}
