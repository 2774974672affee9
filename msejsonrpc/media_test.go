package msejsonrpc

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// The candidate line of a browser, with and without the name of its fragment.
const (
	candidateLine  = "candidate:842163049 1 udp 1677729535 192.0.2.7 46154 typ srflx raddr 192.0.2.1 rport 46154 generation 0 ufrag EsAw network-cost 999"
	candidatePlain = "candidate:842163049 1 udp 1677729535 192.0.2.7 46154 typ host"
)

func TestDescriptionIsReadInBothForms(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]SessionDescription{
		`"v=0\r\n"`:                                 {SDP: "v=0\r\n"},
		`"{\"type\":\"offer\",\"sdp\":\"a\"}"`:      {SDP: `{"type":"offer","sdp":"a"}`}, // a string is the SDP, whatever it holds
		`{"type":"offer","sdp":"v=0\r\n"}`:          {Type: "offer", SDP: "v=0\r\n"},
		`{"sdp":"a","type":"answer","SDP":"b"}`:     {Type: "answer", SDP: "a"},
		`{"s\u0064p":"\u0061","type":"\u006fffer"}`: {Type: "offer", SDP: "a"},
		` { "sdp" : "a" } `:                         {SDP: "a"},
		" \"a\"\n":                                  {SDP: "a"},
		`{"sdp":" "}`:                               {SDP: " "},
	} {
		m := &SDPOffer{Offer: json.RawMessage(text)}
		got, err := m.Description()
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
		require.NoError(t, m.Validate(), text)
	}
}

func TestCandidateIsReadInBothForms(t *testing.T) {
	t.Parallel()
	first := new(uint16(0))
	for text, want := range map[string]ICECandidateInit{
		`"c"`:                                {Candidate: "c", SDPMLineIndex: first},
		"\t\"c\" ":                           {Candidate: "c", SDPMLineIndex: first},
		`"` + candidateLine + `"`:            {Candidate: candidateLine, SDPMLineIndex: first, UsernameFragment: new("EsAw")},
		`"c ufrag x"`:                        {Candidate: "c ufrag x", SDPMLineIndex: first, UsernameFragment: new("x")},
		`"c ufragx y ufrag "`:                {Candidate: "c ufragx y ufrag ", SDPMLineIndex: first},
		`{"candidate":"c","sdpMid":"audio"}`: {Candidate: "c", SDPMid: new("audio")},
		`{"candidate":"c","sdpMid":""}`:      {Candidate: "c", SDPMid: new("")},
		`{"candidate":"c","sdpMLineIndex":3,"sdpMid":null}`:             {Candidate: "c", SDPMLineIndex: new(uint16(3))},
		`{"candidate":"c","sdpMLineIndex":65535}`:                       {Candidate: "c", SDPMLineIndex: new(uint16(65535))},
		`{"candidate":"c","sdpMLineIndex":1e1}`:                         {Candidate: "c", SDPMLineIndex: new(uint16(10))},
		`{"candidate":"c ufrag x","usernameFragment":"y"}`:              {Candidate: "c ufrag x", SDPMLineIndex: first, UsernameFragment: new("y")},
		`{"candidate":"c","usernameFragment":"y"}`:                      {Candidate: "c", SDPMLineIndex: first, UsernameFragment: new("y")},
		`{"Candidate":"c","sdpmid":"a","candidate":"d"}`:                {Candidate: "d", SDPMLineIndex: first},
		"{ \"candidate\" : \"c\" ,\n\"acme\" : { \"candidate\" : 1 } }": {Candidate: "c", SDPMLineIndex: first},
	} {
		m := &ICECandidate{Candidate: json.RawMessage(text)}
		got, err := m.Init()
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
		require.NoError(t, m.Validate(), text)
	}
}

func TestCandidateTellsTheEndOfTheCandidates(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`""`, `null`, ` null `, `{}`, `{"candidate":""}`, `{"candidate":null}`, `{"sdpMid":null}`, `{"acme":1}`,
	} {
		got, err := (&ICECandidate{Candidate: json.RawMessage(text)}).Init()
		require.NoError(t, err, text)
		require.Equal(t, ICECandidateInit{SDPMLineIndex: new(uint16(0))}, got, text)
	}
	got, err := (&ICECandidate{Candidate: json.RawMessage(`{"candidate":"","sdpMid":"1"}`)}).Init()
	require.NoError(t, err)
	require.Equal(t, ICECandidateInit{SDPMid: new("1")}, got, "of one section")
}

// Two candidates must not share the index that neither of them named.
func TestCandidatesDoNotShareTheFirstSection(t *testing.T) {
	t.Parallel()
	m := NewICECandidate(ICECandidateInit{Candidate: "c"}, FormString)
	a, err := m.Init()
	require.NoError(t, err)
	*a.SDPMLineIndex = 5
	b, err := m.Init()
	require.NoError(t, err)
	require.Equal(t, uint16(0), *b.SDPMLineIndex)
}

func TestRule30FormSaysWhatIsWritten(t *testing.T) {
	t.Parallel()
	c := ICECandidateInit{Candidate: "c", SDPMid: new("0"), SDPMLineIndex: new(uint16(1)), UsernameFragment: new("x")}
	d := SessionDescription{Type: "answer", SDP: "a\r\n<&>"}
	var zero Form
	require.Equal(t, FormString, zero, "the default")
	require.Equal(t, `"c ufrag x"`, string(NewICECandidate(c, FormString).Candidate))
	require.Equal(t, `"a\r\n<&>"`, string(NewSDPOffer(d, FormString).Offer))
	require.Equal(t, `{"candidate":"c","sdpMid":"0","sdpMLineIndex":1,"usernameFragment":"x"}`, string(NewICECandidate(c, FormObject).Candidate))
	require.Equal(t, `{"type":"answer","sdp":"a\r\n<&>"}`, string(NewSDPOffer(d, FormObject).Offer))

	require.Equal(t, `""`, string(NewICECandidate(ICECandidateInit{}, FormString).Candidate))
	require.Equal(t, `""`, string(NewICECandidate(ICECandidateInit{UsernameFragment: new("x")}, FormString).Candidate), "the end is the end")
	require.Equal(t, `{"candidate":"","sdpMid":null,"sdpMLineIndex":null,"usernameFragment":null}`, string(NewICECandidate(ICECandidateInit{}, FormObject).Candidate))
	require.Equal(t, `{"sdp":"a"}`, string(NewSDPOffer(SessionDescription{SDP: "a"}, FormObject).Offer))
	require.Equal(t, NullID, NewSDPOffer(d, FormString).ID)
	require.Equal(t, NullID, NewICECandidate(c, FormString).ID)
}

func TestObjectsLoseNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []ICECandidateInit{
		{Candidate: candidateLine, SDPMid: new("audio"), SDPMLineIndex: new(uint16(2)), UsernameFragment: new("EsAw")},
		{Candidate: candidatePlain, SDPMid: new("")},
		{Candidate: "é\"\\\n", SDPMLineIndex: new(uint16(0)), UsernameFragment: new("")},
		{SDPMid: new("1")},
	} {
		m := NewICECandidate(c, FormObject)
		require.NoError(t, m.Validate())
		got, err := m.Init()
		require.NoError(t, err)
		require.Equal(t, c, got)
	}
	for _, d := range []SessionDescription{{Type: "offer", SDP: "a"}, {Type: "answer", SDP: "é\"\\\n\u2028"}, {SDP: "a"}} {
		m := NewSDPOffer(d, FormObject)
		require.NoError(t, m.Validate())
		got, err := m.Description()
		require.NoError(t, err)
		require.Equal(t, d, got)
	}
}

func TestStringsKeepTheUserNameFragment(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		line, fragment string
		want           string
	}{
		{candidatePlain, "EsAw", candidatePlain + " ufrag EsAw"},
		{candidateLine, "EsAw", candidateLine},
		{candidateLine, "other", candidateLine}, // the line is what the candidate was gathered as
		{candidatePlain, "", candidatePlain},
		{candidatePlain, "a b", candidatePlain}, // would be attributes of its own
		{candidatePlain, "a\r\na=mid:1", candidatePlain},
	} {
		m := NewICECandidate(ICECandidateInit{Candidate: tt.line, UsernameFragment: &tt.fragment}, FormString)
		require.NoError(t, m.Validate())
		got, err := m.Init()
		require.NoError(t, err)
		require.Equal(t, tt.want, got.Candidate)
	}
}

func TestTextsThatAreNotUTF8AreNotSent(t *testing.T) {
	t.Parallel()
	for _, form := range []Form{FormString, FormObject} {
		for name, m := range map[string]Message{
			"sdp":       NewSDPOffer(SessionDescription{Type: "offer", SDP: "a\xff"}, form),
			"candidate": NewICECandidate(ICECandidateInit{Candidate: "c\xff"}, form),
			"fragment":  NewICECandidate(ICECandidateInit{Candidate: "c", UsernameFragment: new("\xff")}, form),
		} {
			err := m.Validate()
			require.IsType(t, new(ValidationError), err, name)
			require.Equal(t, "invalid UTF-8", err.(*ValidationError).Reason, name)
			_, err = Encode(m)
			require.Error(t, err, name)
		}
	}
	require.Error(t, NewSDPOffer(SessionDescription{Type: "\xff", SDP: "a"}, FormObject).Validate())
	require.Error(t, NewICECandidate(ICECandidateInit{SDPMid: new("\xff")}, FormObject).Validate())
}

// What the constructors take is looked at by Validate, as everywhere.
func TestDescriptionsThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	require.Error(t, NewSDPOffer(SessionDescription{}, FormString).Validate())
	require.Error(t, NewSDPOffer(SessionDescription{Type: "offer"}, FormObject).Validate())
	require.Error(t, NewSDPOffer(SessionDescription{Type: "rollback", SDP: "a"}, FormObject).Validate())
	_, err := NewSDPOffer(SessionDescription{}, FormString).Description()
	require.EqualError(t, err, "msejsonrpc: invalid sdpOffer: params.offer: empty")
	_, err = new(ICECandidate).Init()
	require.EqualError(t, err, "msejsonrpc: invalid iceCandidate: params.candidate: missing")
}

func TestRule31AnObjectSaysItsTypeAndAStringDoesNot(t *testing.T) {
	t.Parallel()
	for _, typ := range []string{"offer", "answer"} {
		d := SessionDescription{Type: typ, SDP: "v=0\r\n"}
		got, err := NewSDPOffer(d, FormObject).Description()
		require.NoError(t, err)
		require.Equal(t, d, got)
		got, err = NewSDPOffer(d, FormString).Description()
		require.NoError(t, err)
		require.Equal(t, SessionDescription{SDP: d.SDP}, got, "what it is follows from the receiver's state")
	}
}

// offerFirst sends an offer and returns the SDP of what comes back.
func offerFirst(ctx context.Context, send func(SessionDescription) error, next func(context.Context) (Message, error)) (string, error) {
	if err := send(SessionDescription{Type: "offer", SDP: "an offer"}); err != nil {
		return "", err
	}
	return nextSDP(ctx, next)
}

// answerIt answers the description that comes.
func answerIt(ctx context.Context, send func(SessionDescription) error, next func(context.Context) (Message, error)) (string, error) {
	sdp, err := nextSDP(ctx, next)
	if err != nil {
		return "", err
	}
	return sdp, send(SessionDescription{Type: "answer", SDP: "an answer"})
}

func nextSDP(ctx context.Context, next func(context.Context) (Message, error)) (string, error) {
	m, err := next(ctx)
	if err != nil {
		return "", err
	}
	d, err := m.(*SDPOffer).Description()
	return d.SDP, err
}

func TestRule32EitherSideMayOfferFirst(t *testing.T) {
	t.Parallel()
	for name, serverFirst := range map[string]bool{"server": true, "client": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				atServer, atClient := offerFirst, answerIt
				wantServer, wantClient := "an answer", "an offer"
				if !serverFirst {
					atServer, atClient = answerIt, offerFirst
					wantServer, wantClient = wantClient, wantServer
				}
				heard := make(chan string, 1)
				server := NewServer(&ServerOptions{
					AllowAll: true,
					Handle: func(ctx context.Context, s *ServerSession) error {
						sdp, err := atServer(ctx, s.SendOffer, s.Next)
						heard <- sdp
						if err != nil {
							return err
						}
						<-ctx.Done()
						return nil
					},
				})
				near, far := transport.Pipe()
				ended := make(chan error, 1)
				go func() { ended <- server.Serve(t.Context(), far) }()
				client, err := Connect(t.Context(), near, &ClientOptions{Token: "t"})
				require.NoError(t, err)
				sdp, err := atClient(t.Context(), client.SendOffer, client.Next)
				require.NoError(t, err)
				require.Equal(t, wantClient, sdp)
				require.Equal(t, wantServer, <-heard)
				require.NoError(t, client.Disconnect())
				require.NoError(t, <-ended)
				require.NoError(t, server.Close())
			})
		})
	}
}
