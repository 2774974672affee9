package mediasouppion

import (
	"testing"

	"github.com/pion/rtcp"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

// connect has alice send audio and video, and bob receive them.
func connect(t *testing.T, opts *EngineOptions) (alice, bob *client, ev *events) {
	t.Helper()
	_, r, ev := newTestRoom(t, opts)
	alice = dial(t, r, aliceID, 1, mediasoupproto.DTLSRoleServer, false)
	bob = dial(t, r, bobID, 1, mediasoupproto.DTLSRoleClient, true)
	require.NoError(t, r.CreateProducer(mediaID(aliceID, 10), audioProducer(alice.id)))
	require.NoError(t, r.CreateProducer(mediaID(aliceID, 11), videoProducer(alice.id)))
	return alice, bob, ev
}

func enable(t *testing.T, bob *client, id uint32, m *mediasoupproto.MediaConsumer) mediasoupproto.MediaID {
	t.Helper()
	consumer := mediaID(bobID, id)
	profile, err := bob.room.EnableConsumer(consumer, m)
	require.NoError(t, err)
	require.Empty(t, profile)
	return consumer
}

func audioSource() *source {
	return &source{ssrc: audioSSRC, payload: clientAudio}
}

func videoSource(every int) *source {
	return &source{ssrc: videoSSRC, payload: clientVideo, video: true, every: every}
}

func TestMediaAreForwardedAsTheConsumerWasTold(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]*EngineOptions{
		"one port": nil, "port of its own": {PortMin: 42000, PortMax: 42999},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alice, bob, ev := connect(t, opts)
			audio := enable(t, bob, 20, audioConsumer(bob.id, mediaID(aliceID, 10)))
			video := enable(t, bob, 21, videoConsumer(bob.id, mediaID(aliceID, 11)))
			alice.pump(audioSource().next)
			alice.pump(videoSource(10).next)

			p := await(t, bob.rtp, "video", ofSSRC(videoOut))
			require.EqualValues(t, roomVideo, p.PayloadType)
			require.Zero(t, number(p)%10, "video begins with a key frame")
			require.True(t, p.Marker)
			require.Equal(t, []byte{1, 2, 3}, p.GetExtension(roomTime))
			require.Len(t, p.GetExtensionIDs(), 1, "no others go along")
			for last := p; number(last) < number(p)+50; {
				next := await(t, bob.rtp, "video", ofSSRC(videoOut))
				require.Equal(t, last.SequenceNumber+1, next.SequenceNumber)
				require.Equal(t, last.Timestamp+900, next.Timestamp)
				last = next
			}

			p = await(t, bob.rtp, "audio", ofSSRC(audioOut))
			require.EqualValues(t, roomAudio, p.PayloadType)
			require.Equal(t, []byte{0x85}, p.GetExtension(roomLevel))

			told := map[mediasoupproto.MediaID]mediasoupproto.Profile{}
			for range 2 {
				e := await(t, ev.profiles, "profile", nil)
				told[e.consumer] = e.profile
			}
			require.Equal(t, map[mediasoupproto.MediaID]mediasoupproto.Profile{
				audio: mediasoupproto.ProfileDefault, video: mediasoupproto.ProfileDefault,
			}, told)
		})
	}
}

func TestAKeyFrameIsAskedForWhenVideoBegins(t *testing.T) {
	t.Parallel()
	alice, bob, _ := connect(t, nil)
	alice.pump(videoSource(1 << 20).next)
	await(t, alice.rtcp, "the first report", func(p rtcp.Packet) bool { _, ok := p.(*rtcp.ReceiverReport); return ok })
	enable(t, bob, 21, videoConsumer(bob.id, mediaID(aliceID, 11)))
	pli := await(t, alice.rtcp, "PLI", isPLI).(*rtcp.PictureLossIndication)
	require.EqualValues(t, videoSSRC, pli.MediaSSRC)
	await(t, alice.rtcp, "another PLI since no key frame came", isPLI)
}

func TestACloseEndsWhatIsSent(t *testing.T) {
	t.Parallel()
	alice, bob, _ := connect(t, nil)
	id := enable(t, bob, 20, audioConsumer(bob.id, mediaID(aliceID, 10)))
	alice.pump(audioSource().next)
	await(t, bob.rtp, "audio", nil)
	r := bob.room
	r.CloseConsumer(id)
	_, err := r.ConsumerStats(id)
	require.ErrorIs(t, err, errUnknown)
	again := audioConsumer(bob.id, mediaID(aliceID, 10))
	again.RTPParameters.Encodings[0].SSRC++
	id = enable(t, bob, 20, again)
	await(t, bob.rtp, "audio of the same consumer again", ofSSRC(audioOut+1))
	r.CloseProducer(mediaID(aliceID, 10))
	r.CloseConsumer(id)
	r.CloseTransport(alice.id)
	_, err = r.TransportStats(alice.id)
	require.ErrorIs(t, err, errUnknown)
	require.NoError(t, r.CreateProducer(mediaID(bobID, 10), audioProducer(bob.id)))
	r.Close()
	r.Close()
	require.ErrorIs(t, r.CreateProducer(mediaID(bobID, 11), audioProducer(bob.id)), errUnknown)
}
