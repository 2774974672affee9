package mediasoupproto

import (
	"encoding/json"

	"github.com/stretchr/testify/require"
)

// A clientCall does with our client what a call of mediasoup-client does.
type clientCall func(r *clientReplay, call string)

// joins asks what the room can do and joins it.
func joins(then func(r *clientReplay)) clientCall {
	return func(r *clientReplay, call string) {
		r.begin()
		r.send(new(QueryRoom), func(err error) {
			require.NoError(r, err)
			room := r.machine.Room()
			r.enter(call, room.RTPCapabilities, room.MandatoryCodecPayloadTypes, func() {
				if then != nil {
					then(r)
				}
			})
		})
	}
}

// joinsWith joins without a question: what the room can do is known.
func joinsWith(mandatory ...uint8) clientCall {
	return func(r *clientReplay, call string) {
		r.begin()
		var room QueryRoomResult
		for i := range r.lines { // the room of another call
			if l := &r.lines[i]; l.Kind == "response" && string(l.RID) == "5" {
				require.NoError(r, json.Unmarshal(l.Body, &room))
			}
		}
		require.Len(r, room.RTPCapabilities.Codecs, 5)
		r.enter(call, room.RTPCapabilities, mandatory, nil)
	}
}

// says sends messages at once; what comes of the last one is what comes of the call.
func says(methods ...string) clientCall {
	return func(r *clientReplay, call string) {
		for _, method := range methods {
			r.send(r.next(method), func(err error) { r.done(call, err) })
		}
	}
}

// wishes asks for statistics at an interval that is not that of the trace.
func wishes(method string, interval int64) clientCall {
	return func(r *clientReplay, call string) {
		m := r.next(method)
		switch m := m.(type) {
		case *EnableTransportStats:
			m.Interval = interval
		case *EnableProducerStats:
			m.Interval = interval
		case *EnableConsumerStats:
			m.Interval = interval
		}
		r.send(m, func(err error) { r.done(call, err) })
	}
}

// sends sends what the client of the trace never did.
func sends(messages ...func(r *clientReplay) Message) clientCall {
	return func(r *clientReplay, call string) {
		for _, m := range messages {
			r.send(m(r), func(err error) { r.done(call, err) })
		}
	}
}

func can(kind Kind) clientCall {
	return func(r *clientReplay, call string) {
		// A spy sends nothing, which is not a matter of codecs.
		r.doneWith(call, r.common.CanSend(kind) && !r.machine.Joined().Spy)
	}
}

func nothing(r *clientReplay, call string) { r.done(call, nil) }

func aTransport(*clientReplay) Message { return &CreateTransport{ID: 5, Direction: DirectionSend} }

func aProducer(r *clientReplay) Message {
	p := r.common.SendingRTPParameters(Audio)
	p.Encodings = []Encoding{{SSRC: 5}}
	return &CreateProducer{ID: 6, Kind: Audio, TransportID: 5, RTPParameters: p}
}

func aConsumer(id uint32) func(*clientReplay) Message {
	return func(*clientReplay) Message { return &EnableConsumer{ID: id, TransportID: 7} }
}

// clientCalls are the calls of the traces, by flow.
var clientCalls = map[string]clientCall{
	`50 room.join("alice", {x:1})`:           joins(nil),
	`50 pa.send`:                             says("createTransport", "createProducer"),
	`50 pv.send`:                             says("createProducer"),
	`50 ka.receive`:                          says("createTransport", "updateTransport", "enableConsumer"),
	`50 kv.receive`:                          says("enableConsumer"),
	`50 ka.receive again`:                    nothing,
	`50 kv.setPreferredProfile("low")`:       says("setConsumerPreferredProfile"),
	`50 kv.setPreferredProfile("low") again`: nothing,
	`50 kv.setPreferredProfile("none")`: sends(func(*clientReplay) Message {
		return &SetConsumerPreferredProfile{ID: 30000003, Profile: ProfileNone}
	}),
	`50 ka.pause`:             says("pauseConsumer"),
	`50 ka.resume`:            says("resumeConsumer"),
	`50 pa.pause`:             says("pauseProducer"),
	`50 pa.pause again`:       nothing,
	`50 pa.resume`:            says("resumeProducer"),
	`50 pv.replaceTrack`:      nothing,
	`50 st.enableStats(10)`:   wishes("enableTransportStats", 10),
	`50 pa.enableStats()`:     wishes("enableProducerStats", 0),
	`50 ka.enableStats(2500)`: wishes("enableConsumerStats", 2500),
	`50 ka.disableStats()`:    says("disableConsumerStats"),
	`50 restartIce while connectionState "new" (nothing sent)`: nothing,
	`50 restartIce`: func(r *clientReplay, call string) {
		r.send(r.next("restartTransport"), func(err error) { require.NoError(r, err) })
		r.done(call, nil) // which does not wait for the answer
	},
	`50 pv.close`:                    says("closeProducer"),
	`50 st.close (pa still on it)`:   says("disableTransportStats", "closeTransport"),
	`50 rt.close`:                    says("closeTransport"),
	`50 room.leave`:                  says("leave"),
	`50 room.leave again`:            sends(func(*clientReplay) Message { return new(Leave) }),
	`50 createTransport after leave`: sends(aTransport),

	`51 join`: joins(func(r *clientReplay) {
		for _, method := range []string{"createTransport", "createProducer"} {
			r.send(r.next(method), func(err error) { require.NoError(r, err) })
		}
	}),
	`51 receive unsupported consumer`: sends(aConsumer(30000023), aConsumer(30000024)),
	`51 kv.receive`:                   says("createTransport", "updateTransport", "enableConsumer"),
	`51 send another producer on the remotely closed transport => createTransport again, same id`: says(
		"createTransport", "createProducer"),

	`53 join: mandatory H264 (PT 103) not supported, roomSettings given so no queryRoom`: joinsWith(103),
	`53 join: mandatory opus+VP8 supported`:                                              joinsWith(100, 101),
	`53 join: mandatory PT not in room codecs`:                                           joinsWith(55),
	`53 join: audio-only room without mandatoryCodecPayloadTypes`:                        joins(nil),
	`53 join: empty queryRoom response`:                                                  joins(nil),
	`53 join: response without peers`:                                                    joins(nil),
	`53 join as spy; second peer entry is malformed`:                                     joins(nil),
	`53 join`:          joins(nil),
	`53 canSend audio`: can(Audio),
	`53 canSend video`: can(Video),
	`53 spy canSend`:   can(Audio),
	`53 createProducer video`: func(r *clientReplay, call string) {
		if r.common.SendingRTPParameters(Video) == nil {
			r.done(call, ErrUnsupportedCodecs)
		}
	},
	`53 spy createTransport send`:                         sends(aTransport),
	`53 spy createProducer`:                               sends(aProducer),
	`53 transportOptions go into createTransport.options`: says("createTransport", "createProducer"),
}
