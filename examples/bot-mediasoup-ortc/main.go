// Command bot-mediasoup-ortc sends a test picture with a tone to a room of a server of
// mediasoup 2 and counts what comes back, without a session description: Pion's ORTC objects
// take what the protocol says as it is. It is for those who want to see the protocol at work;
// package mediasouppion does more, such as asking for lost packets and restarting ICE.
//
//	go run ./examples/bot-mediasoup-ortc -server ws://127.0.0.1:3443 -room lobby
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/examples/kit/clip"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouphttp"
)

func main() {
	server := flag.String("server", "ws://127.0.0.1:3443", "`address` of the server")
	room := flag.String("room", "lobby", "`name` of the room")
	user := flag.String("user", "ortc", "`name` of the bot")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *server, *room, *user); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

// A bot is a client with what it receives over.
type bot struct {
	client *mediasoupproto.Client
	api    *webrtc.API
	caps   *mediasoupproto.RTPCapabilities
	recv   *path
}

// A path is a transport.
type path struct {
	id       uint32
	gatherer *webrtc.ICEGatherer
	ice      *webrtc.ICETransport
	dtls     *webrtc.DTLSTransport
}

func run(ctx context.Context, server, room, user string) error {
	address, err := mediasouphttp.URL(server, room, user)
	if err != nil {
		return err
	}
	client, err := mediasouphttp.Connect(ctx, address, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	b := &bot{client: client}
	if err := b.choose(ctx); err != nil {
		return err
	}
	joined, err := client.Join(ctx, &mediasoupproto.Join{PeerName: user, RTPCapabilities: b.caps})
	if err != nil {
		return err
	}
	send, err := b.connect(ctx, mediasoupproto.DirectionSend)
	if err != nil {
		return err
	}
	defer send.close()
	if b.recv, err = b.connect(ctx, mediasoupproto.DirectionRecv); err != nil {
		return err
	}
	defer b.recv.close()

	audio, err := b.publish(ctx, send, webrtc.MimeTypeOpus)
	if err != nil {
		return err
	}
	video, err := b.publish(ctx, send, webrtc.MimeTypeVP8)
	if err != nil {
		return err
	}
	go func() { _ = clip.Play(ctx, video, audio) }()
	for _, peer := range joined.Peers {
		for _, info := range peer.Consumers {
			if err := b.consume(ctx, info); err != nil {
				return err
			}
		}
	}
	for m, err := range client.Messages(ctx) {
		if err != nil {
			return err
		}
		if m, ok := m.(*mediasoupproto.NewConsumer); ok {
			if err := b.consume(ctx, &mediasoupproto.ConsumerInfo{
				ID: m.ID, Kind: m.Kind, PeerName: m.PeerName, RTPParameters: m.RTPParameters,
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// choose takes Opus and VP8 out of the room's codecs, by the room's payload types.
func (b *bot) choose(ctx context.Context) error {
	room, err := b.client.QueryRoom(ctx)
	if err != nil {
		return err
	}
	b.caps = &mediasoupproto.RTPCapabilities{HeaderExtensions: []mediasoupproto.HeaderExtensionCapability{}} // not nil
	engine := new(webrtc.MediaEngine)
	for _, c := range room.RTPCapabilities.Codecs {
		mime := string(c.Kind) + "/" + c.Name
		if !strings.EqualFold(mime, webrtc.MimeTypeOpus) && !strings.EqualFold(mime, webrtc.MimeTypeVP8) {
			continue
		}
		err := engine.RegisterCodec(webrtc.RTPCodecParameters{
			RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: mime, ClockRate: c.ClockRate, Channels: c.Channels},
			PayloadType:        webrtc.PayloadType(c.PreferredPayloadType),
		}, webrtc.NewRTPCodecType(string(c.Kind)))
		if err != nil {
			return err
		}
		c.RTCPFeedback = nil // nothing is sent again without Pion's interceptors, which ORTC does not have
		b.caps.Codecs = append(b.caps.Codecs, c)
	}
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true) // for a server on this machine
	b.api = webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithSettingEngine(settings))
	return nil
}

// connect makes a transport. ICE and DTLS have succeeded when it returns.
func (b *bot) connect(ctx context.Context, direction mediasoupproto.Direction) (p *path, err error) {
	p = &path{id: mediasoupproto.NewID()}
	if p.gatherer, err = b.api.NewICEGatherer(webrtc.ICEGatherOptions{}); err != nil {
		return nil, err
	}
	p.ice = b.api.NewICETransport(p.gatherer)
	if p.dtls, err = b.api.NewDTLSTransport(p.ice, nil); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	gathered := make(chan struct{})
	p.gatherer.OnLocalCandidate(func(c *webrtc.ICECandidate) { // the server learns them from the checks of ICE
		if c == nil {
			close(gathered)
		}
	})
	if err = p.gatherer.Gather(); err != nil {
		return nil, err
	}
	select {
	case <-gathered:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	local, err := p.dtls.GetLocalParameters()
	if err != nil {
		return nil, err
	}
	parameters := &mediasoupproto.DTLSParameters{Role: mediasoupproto.DTLSRoleServer}
	for _, f := range local.Fingerprints { // which the server compares in upper case
		parameters.Fingerprints = append(parameters.Fingerprints, mediasoupproto.Fingerprint{
			Algorithm: f.Algorithm, Value: strings.ToUpper(f.Value),
		})
	}
	answer, err := b.client.CreateTransport(ctx, &mediasoupproto.CreateTransport{
		ID: p.id, Direction: direction, DTLSParameters: parameters,
	})
	if err != nil {
		return nil, err
	}
	return p, p.start(answer)
}

// start connects to what the server has answered.
func (p *path) start(answer *mediasoupproto.CreateTransportResult) error {
	if answer.ICEParameters == nil || answer.DTLSParameters == nil {
		return errors.New("the server has not said where it is")
	}
	var candidates []webrtc.ICECandidate
	for _, c := range answer.ICECandidates {
		if c.Protocol == "udp" {
			candidates = append(candidates, webrtc.ICECandidate{
				Foundation: c.Foundation, Priority: c.Priority, Address: c.IP, Port: c.Port, Component: 1,
				Protocol: webrtc.ICEProtocolUDP, Typ: webrtc.ICECandidateTypeHost,
			})
		}
	}
	if err := p.ice.SetRemoteCandidates(candidates); err != nil {
		return err
	}
	role := webrtc.ICERoleControlling // the server is ICE-lite
	if err := p.ice.Start(nil, webrtc.ICEParameters{
		UsernameFragment: answer.ICEParameters.UsernameFragment, Password: answer.ICEParameters.Password, ICELite: true,
	}, &role); err != nil {
		return err
	}
	remote := webrtc.DTLSParameters{Role: webrtc.DTLSRoleClient} // never auto: Pion would choose it for itself
	for _, f := range answer.DTLSParameters.Fingerprints {
		if f.Algorithm == "sha-256" { // Pion would be content with the weakest one
			remote.Fingerprints = []webrtc.DTLSFingerprint{{Algorithm: f.Algorithm, Value: f.Value}}
		}
	}
	return p.dtls.Start(remote)
}

func (p *path) close() {
	_ = p.dtls.Stop()
	_ = p.ice.Stop()
	_ = p.gatherer.Close()
}

// publish sends a track of a codec.
func (b *bot) publish(ctx context.Context, p *path, mime string) (*webrtc.TrackLocalStaticSample, error) {
	kind, name, _ := strings.Cut(mime, "/")
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: mime}, kind, "bot")
	if err != nil {
		return nil, err
	}
	sender, err := b.api.NewRTPSender(track, p.dtls)
	if err != nil {
		return nil, err
	}
	parameters := sender.GetParameters()
	if err := sender.Send(parameters); err != nil {
		return nil, err
	}
	go func() { // what nobody reads would stop all RTCP of the transport
		for {
			if _, _, err := sender.ReadRTCP(); err != nil {
				return
			}
		}
	}()
	m := &mediasoupproto.CreateProducer{
		ID: mediasoupproto.NewID(), Kind: mediasoupproto.Kind(kind), TransportID: p.id,
		RTPParameters: &mediasoupproto.RTPParameters{
			MuxID:            mediasoupproto.MuxID(kind),
			HeaderExtensions: []mediasoupproto.HeaderExtension{},
			Encodings:        []mediasoupproto.Encoding{{SSRC: uint32(parameters.Encodings[0].SSRC)}},
			RTCP: &mediasoupproto.RTCPParameters{
				CNAME: new("bot-of-ortc"), ReducedSize: new(true), Mux: new(true),
			},
		},
	}
	for _, c := range b.caps.Codecs {
		if strings.EqualFold(c.Name, name) {
			m.RTPParameters.Codecs = []mediasoupproto.CodecParameters{{
				Name: c.Name, MimeType: mime, ClockRate: c.ClockRate, Channels: c.Channels,
				PayloadType: new(c.PreferredPayloadType), Parameters: c.Parameters,
			}}
		}
	}
	return track, b.client.CreateProducer(ctx, m)
}

// consume receives what another peer sends, and counts it.
func (b *bot) consume(ctx context.Context, info *mediasoupproto.ConsumerInfo) error {
	if info.RTPParameters == nil || len(info.RTPParameters.Codecs) == 0 || len(info.RTPParameters.Encodings) == 0 {
		return nil // another codec
	}
	receiver, err := b.api.NewRTPReceiver(webrtc.NewRTPCodecType(string(info.Kind)), b.recv.dtls)
	if err != nil {
		return err
	}
	// Before it is enabled: one packet that nobody expects stops the transport for good. For
	// the same reason a receiver is not stopped before the transport is.
	ssrc := webrtc.SSRC(info.RTPParameters.Encodings[0].SSRC)
	if err := receiver.Receive(webrtc.RTPReceiveParameters{Encodings: []webrtc.RTPDecodingParameters{{
		RTPCodingParameters: webrtc.RTPCodingParameters{SSRC: ssrc},
	}}}); err != nil {
		return err
	}
	go func() {
		for packets := 1; ; packets++ {
			packet, _, err := receiver.Track().ReadRTP()
			if err != nil {
				return
			}
			if packets%100 == 1 {
				fmt.Printf("%s of %s: %d packets, the last one of %d bytes\n",
					info.Kind, info.PeerName, packets, len(packet.Payload))
			}
		}
	}()
	go func() {
		for {
			if _, _, err := receiver.ReadRTCP(); err != nil {
				return
			}
		}
	}()
	_, err = b.client.EnableConsumer(ctx, &mediasoupproto.EnableConsumer{ID: info.ID, TransportID: b.recv.id})
	return err
}
