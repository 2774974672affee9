package interop

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

// onlyServersKnow are the refusals that depend on what a server has, and that no client can
// foresee.
var onlyServersKnow = regexp.MustCompile(strings.Join([]string{
	"already exists", "not found$", "already enabled", "already have", "not your corresponding", "spy peers",
	`unsupported codec \[name:[\w-]+, (payloadType|preferredPayloadType):(\d+|undefined)\]`,
	"unsupported header extension",
	"no RTX codec found", "changeUfragPwd", "could not open", "IPv6 family", "duplicated Peer",
	"no mediasoup Peer", "Room closed",
}, "|"))

// goesOutOtherwise are the cases of empty texts, in whose place our types have nothing.
var goesOutOtherwise = map[string]bool{"DTLS with no role": true, "profile empty": true}

var mediasoupRefusal = regexp.MustCompile(`^1 (\d+) (.*)$`)

// TestMediasoupClientNeverSendsWhatServersRefuse puts to our client what the real server
// refuses, as far as its types can hold it.
func TestMediasoupClientNeverSendsWhatServersRefuse(t *testing.T) {
	t.Parallel()
	tried := 0
	for _, cases := range [][]mediasoupCase{
		mediasoupJoins, mediasoupTransports, mediasoupProducers, mediasoupConsumers,
	} {
		for _, c := range cases {
			data, isRequest := strings.CutPrefix(c.says, "? ")
			refusal := mediasoupRefusal.FindStringSubmatch(c.want)
			switch {
			case !isRequest || strings.Contains(data, "\n"), goesOutOtherwise[c.name],
				refusal == nil, onlyServersKnow.MatchString(refusal[2]):
				continue
			}
			m, err := mediasoupproto.DecodePayload("1", []byte(strings.ReplaceAll(data, `"C1"`, "7")))
			if err != nil {
				continue // no such message can be made
			}
			tried++
			var invalid *mediasoupproto.ValidationError
			if assert.ErrorAs(t, m.Validate(), &invalid, "%s: %s", c.name, c.want) {
				assert.NotEmpty(t, invalid.Field, c.name)
			}
		}
	}
	require.Greater(t, tried, 40)
}

// TestMediasoupClientRefusesOnItsOwn says it to a client that has joined.
func TestMediasoupClientRefusesOnItsOwn(t *testing.T) {
	t.Parallel()
	s := startOurMediasoup(t, overProtoo)
	c := s.join(t, "room", "alice")
	over := c.opens(mediasoupproto.DirectionSend)
	before := s.ours.Stats()
	for _, change := range []string{
		`kind="smell"`, "-transportId", "-rtpParameters", "rtpParameters.codecs=[]",
		`rtpParameters.codecs.0.mimeType="opus"`, `rtpParameters.codecs.0.mimeType="audio/x"`,
		"-rtpParameters.codecs.0.payloadType", "-rtpParameters.codecs.0.clockRate", "rtpParameters.encodings=[]",
		`rtpParameters.encodings.0.profile="none"`, `rtpParameters.encodings.0.profile="low"`,
		"rtpParameters.encodings.0.codecPayloadType=5", `rtpParameters.rtcp.cname=""`,
		"-rtpParameters.headerExtensions.0.id", "-id",
	} {
		data := strings.TrimPrefix(ofSound(change), "? ")
		m, err := mediasoupproto.DecodePayload("1", []byte(data))
		require.NoError(t, err, change)
		producer, ok := m.(*mediasoupproto.CreateProducer)
		require.True(t, ok, change)
		if producer.TransportID != 0 {
			producer.TransportID = over
		}
		var invalid *mediasoupproto.ValidationError
		require.ErrorAs(t, c.CreateProducer(bounded(t), producer), &invalid, change)
	}
	require.Equal(t, before, s.ours.Stats(), "something has been sent")
	c.quiet()
}

// TestMediasoupServerIgnoresFramesThatAreNoObjects is about frames that are JSON nevertheless.
func TestMediasoupServerIgnoresFramesThatAreNoObjects(t *testing.T) {
	t.Parallel()
	s := startOurMediasoup(t, overProtoo)
	for _, frame := range []string{"null", "7", "true", "[]", `"x"`} {
		c := mediasoupCase{says: frame + "\n" + asking("restartTransport", `,"id":1`)}
		require.Equal(t, `2 ok {"iceParameters":"ICE"}`, s.answer(t, frame, c, "2 ok", true), frame)
	}
}
