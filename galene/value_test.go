package galene

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

var instant = time.Date(2026, 11, 20, 23, 53, 46, 123456789, time.UTC)

func TestTimeIsInWholeSecondsAndKeepsItsZone(t *testing.T) {
	t.Parallel()
	require.Equal(t, Time("2026-11-20T23:53:46Z"), NewTime(instant))
	require.Equal(t, Time("2026-11-21T00:53:46+01:00"), NewTime(instant.In(time.FixedZone("", 3600))))
	for text, want := range map[Time]time.Time{
		"2026-11-20T23:53:46Z":           instant.Truncate(time.Second),
		"2026-11-21T00:53:46+01:00":      instant.Truncate(time.Second),
		"2026-11-20T23:53:46.123456789Z": instant,
	} {
		got, ok := text.Time()
		require.True(t, ok, text)
		require.True(t, want.Equal(got), text)
	}
	for _, text := range []Time{"", "now", "1619612745000", "2026-11-20", "2026-11-20 23:53:46Z", "2026-02-30T00:00:00Z"} {
		_, ok := text.Time()
		require.False(t, ok, text)
	}
}

func TestTimeReadsTheMillisecondsOfVersion1(t *testing.T) {
	t.Parallel()
	for digits, want := range map[string]Time{
		"1619612745123": "2021-04-28T12:25:45.123Z", "0": "1970-01-01T00:00:00.000Z", "-1": "1969-12-31T23:59:59.999Z",
		"253402300799999": "9999-12-31T23:59:59.999Z",
	} {
		m, err := Decode([]byte(`{"type":"chat","time":` + digits + `}`))
		require.NoError(t, err, digits)
		require.Equal(t, &Chat{Time: want}, m)
		require.NoError(t, m.Validate())
		b, err := DialectV1.Encode(m)
		require.NoError(t, err)
		require.Equal(t, `{"type":"chat","time":`+digits+`}`, string(b), "nothing is lost")
	}
	for _, digits := range []string{"1.5", "1e3", "253402300800000", "-99999999999999", "9223372036854775808"} {
		_, err := Decode([]byte(`{"type":"chat","time":` + digits + `}`))
		require.ErrorIs(t, err, errTime, digits)
	}
}

func TestPermissionsAreASet(t *testing.T) {
	t.Parallel()
	p := Permissions{PermissionMessage, PermissionOp, "fly"}
	require.True(t, p.Has(PermissionOp) && p.Has("fly"))
	require.False(t, p.Has(PermissionPresent) || p.Has("") || Permissions(nil).Has(PermissionOp))
}

func TestTokenTimeIsAnInstantOrFromNowOn(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		time TokenTime
		want string
	}{
		{TokenTime{At: instant}, `"2026-11-20T23:53:46.123456789Z"`},
		{TokenTime{At: instant, In: time.Hour}, `"2026-11-20T23:53:46.123456789Z"`},
		{TokenTime{In: 24 * time.Hour}, `86400000`},
		{TokenTime{In: -time.Second}, `-1000`},
		{TokenTime{In: 1500 * time.Microsecond}, `1`},
		{TokenTime{}, `0`},
	} {
		b, err := json.Marshal(tt.time)
		require.NoError(t, err)
		require.Equal(t, tt.want, string(b))
	}
	for text, want := range map[string]TokenTime{
		`"2026-11-20T23:53:46.123456789Z"`: {At: instant},
		`86400000`:                         {In: 24 * time.Hour},
		`-1000`:                            {In: -time.Second},
		`0.5`:                              {In: 500 * time.Microsecond},
		`1e3`:                              {In: time.Second},
		`0`:                                {In: -1}, // as good as now
		`null`:                             {},
	} {
		got := TokenTime{In: 7}
		require.NoError(t, got.UnmarshalJSON([]byte(text)), text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{`"tomorrow"`, `""`, `"2026-11-20T23:53:46+24:00"`, `true`, `{}`, `[]`, `1e300`, `-1e300`, `1e999`, `"2026-11-20"`} {
		var got TokenTime
		require.EqualError(t, got.UnmarshalJSON([]byte(text)), "bad time value", text)
	}
}

func TestTokenTimeCountsFromNow(t *testing.T) {
	t.Parallel()
	require.True(t, TokenTime{}.IsZero())
	require.True(t, TokenTime{}.at(instant).IsZero())
	require.False(t, TokenTime{In: -1}.IsZero())
	require.Equal(t, instant.Add(time.Hour), TokenTime{In: time.Hour}.at(instant))
	require.Equal(t, instant, TokenTime{At: instant, In: time.Hour}.at(instant.Add(time.Minute)))
	var far TokenTime
	require.NoError(t, far.UnmarshalJSON([]byte(`6307200000000`)), "200 years")
	require.Equal(t, 200*365*24*time.Hour, far.In)
	require.EqualError(t, far.UnmarshalJSON([]byte(`9223372036855`)), "bad time value", "more than a Duration")
	require.Less(t, float64(far.In), float64(math.MaxInt64))
}

func tokenAction(value string) *GroupAction {
	return &GroupAction{Kind: GroupMakeToken, Value: json.RawMessage(value)}
}

func TestTokenRequestIsReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	want := &TokenRequest{
		Token: "t", Group: "test", Username: new(""), Permissions: Permissions{"present", "message"},
		Expires: TokenTime{At: instant}, NotBefore: TokenTime{In: -time.Second}, Extra: Fields{"includeSubgroups": json.RawMessage("true")},
	}
	const text = `{"token":"t","group":"test","username":"","permissions":["present","message"],` +
		`"expires":"2026-11-20T23:53:46.123456789Z","not-before":-1000,"includeSubgroups":true}`
	require.Equal(t, text, string(value(want)))
	got, err := tokenAction(text).TokenRequest()
	require.NoError(t, err)
	require.Equal(t, want, got)

	for text, want := range map[string]*TokenRequest{
		`{}`:                 {},
		`{"permissions":[]}`: {Permissions: Permissions{}},
		`{"token":null,"group":null,"username":null,"permissions":null,"expires":null,"not-before":null}`: {},
		`{"username":"\u0061\n"}`: {Username: new("a\n")},
	} {
		got, err := tokenAction(text).TokenRequest()
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	require.Equal(t, `{}`, string(value(&TokenRequest{})))
	require.Equal(t, `{"permissions":[]}`, string(value(&TokenRequest{Permissions: Permissions{}})))
}

func TestTokenRequestFailsWithTheTextsOfGalene(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``: "bad token value", `null`: "bad token value", `"bad"`: "bad token value", `[]`: "bad token value", `5`: "bad token value", `{`: "bad token value",
		`{"token":5}`: "bad string value", `{"group":[]}`: "bad string value", `{"username":{}}`: "bad string value", `{"username":false}`: "bad string value",
		`{"permissions":"op"}`: "bad string list", `{"permissions":[1]}`: "bad string list", `{"permissions":["op",null]}`: "bad string list",
		`{"permissions":{"op":true}}`: "bad string list", `{"permissions":7}`: "bad string list",
		`{"expires":"tomorrow"}`: "bad time value", `{"expires":true}`: "bad time value", `{"not-before":[]}`: "bad time value", `{"not-before":""}`: "bad time value",
	} {
		r, err := tokenAction(text).TokenRequest()
		require.Nil(t, r)
		require.Equal(t, &Error{ID: ErrorOther, Text: want}, err, text)
		require.EqualError(t, tokenAction(text).Validate(), "galene: invalid groupaction: value: "+want)
	}
}

func TestTokenOfAUserMessage(t *testing.T) {
	t.Parallel()
	const text = `{"token":"t0k3n","group":"test","includeSubgroups":true,"username":"carol","permissions":["present"],` +
		`"expires":"2026-11-21T23:53:46.123456789Z","not-before":"2026-11-20T23:53:46Z","issuedAt":"2026-11-20T23:00:00Z","issuedBy":"alice","z":1}`
	want := &Token{
		Token: "t0k3n", Group: "test", IncludeSubgroups: true, Username: new("carol"), Permissions: Permissions{"present"},
		Expires: "2026-11-21T23:53:46.123456789Z", NotBefore: "2026-11-20T23:53:46Z", IssuedAt: "2026-11-20T23:00:00Z", IssuedBy: new("alice"),
		Extra: Fields{"z": json.RawMessage("1")},
	}
	got, err := (&UserMessage{Kind: UserMessageToken, Value: json.RawMessage(text)}).Token()
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, text, string(value(got)))

	list, err := (&UserMessage{Kind: UserMessageTokenList, Value: json.RawMessage("[" + text + `,{"token":"u","permissions":null}]`)}).Tokens()
	require.NoError(t, err)
	require.Equal(t, []*Token{want, {Token: "u"}}, list)
	for _, none := range []string{"", "null", "[]"} {
		list, err = (&UserMessage{Kind: UserMessageTokenList, Value: json.RawMessage(none)}).Tokens()
		require.NoError(t, err, none)
		require.Empty(t, list)
	}
	require.Equal(t, `{"token":"","group":"","permissions":[]}`, string(value(&Token{})))
}

func TestTokenOfAUserMessageThatHoldsNone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		message UserMessage
		want    string // of Token and Tokens
		list    string
	}{
		{UserMessage{Kind: "info"}, "galene: invalid usermessage: kind: is not token", "galene: invalid usermessage: kind: is not tokenlist"},
		{UserMessage{Error: ErrorNotAuthorised, Value: NewText("not authorised")}, "galene: not authorised (not-authorised)", "galene: not authorised (not-authorised)"},
		{UserMessage{}, "galene: invalid usermessage: value: missing", ""},
		{UserMessage{Value: json.RawMessage(`"t"`)}, "galene: invalid usermessage: value: not a JSON object", "galene: invalid usermessage: value: not a list of tokens"},
		{UserMessage{Value: json.RawMessage(`{"token":5}`)}, "galene: invalid usermessage: value.token: wrong JSON type", "galene: invalid usermessage: value: not a list of tokens"},
		{UserMessage{Value: json.RawMessage(`[{"token":5}]`)}, "galene: invalid usermessage: value: not a JSON object", "galene: invalid usermessage: value: not a list of tokens"},
	} {
		one, many := tt.message, tt.message
		if tt.message.Kind == "" {
			one.Kind, many.Kind = UserMessageToken, UserMessageTokenList
		}
		token, err := one.Token()
		require.EqualError(t, err, tt.want)
		require.Nil(t, token)
		list, err := many.Tokens()
		require.Empty(t, list)
		if tt.list == "" {
			require.NoError(t, err)
			continue
		}
		require.EqualError(t, err, tt.list)
		if tt.message.Error != "" {
			require.IsType(t, new(Error), err)
		} else {
			require.IsType(t, new(ValidationError), err)
		}
	}
}

func TestTokenIsValidInItsGroupAndTime(t *testing.T) {
	t.Parallel()
	token := Token{Group: "a/b", Expires: "2026-11-20T23:53:46.5Z", NotBefore: "2026-11-20T22:53:46Z"}
	at := func(text string) time.Time {
		parsed, err := time.Parse(time.RFC3339, text)
		require.NoError(t, err)
		return parsed
	}
	inside := at("2026-11-20T23:00:00Z")
	require.NoError(t, token.Valid("a/b", inside))
	require.NoError(t, token.Valid("a/b", at("2026-11-20T23:53:46.5Z")))
	require.NoError(t, token.Valid("a/b", at("2026-11-20T22:53:46Z")))
	require.ErrorIs(t, token.Valid("a/b", at("2026-11-20T23:53:46.6Z")), errTokenExpired)
	require.ErrorIs(t, token.Valid("a/b", at("2026-11-20T22:53:45Z")), errTokenEarly)
	for _, group := range []string{"a", "a/b/c", "a/bc", "a/b/", ""} {
		require.ErrorIs(t, token.Valid(group, inside), errTokenGroup, group)
	}
	below := token
	below.IncludeSubgroups = true
	require.NoError(t, below.Valid("a/b", inside))
	require.NoError(t, below.Valid("a/b/c", inside))
	require.NoError(t, below.Valid("a/b/c/d", inside))
	for _, group := range []string{"a", "a/bc", "", "x/a/b"} {
		require.ErrorIs(t, below.Valid(group, inside), errTokenGroup, group)
	}
	everywhere := below
	everywhere.Group = ""
	require.NoError(t, everywhere.Valid("a/b", inside))
	everywhere.IncludeSubgroups = false
	require.ErrorIs(t, everywhere.Valid("a/b", inside), errTokenGroup)
	for _, wrong := range []Token{{Group: "a"}, {Group: "a", Expires: "never"}} {
		require.ErrorIs(t, wrong.Valid("a", inside), errTokenExpired)
	}
	require.ErrorIs(t, (&Token{Group: "a", Expires: token.Expires, NotBefore: "never"}).Valid("a", inside), errTokenEarly)
}

func TestClearChatSaysWhatIsDeleted(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]*ClearChat{
		``: {}, `null`: {}, `{}`: {}, `{"userId":"id-bob"}`: {UserID: "id-bob"},
		`{"id":"m1","userId":"id-bob","z":1}`: {ID: "m1", UserID: "id-bob", Extra: Fields{"z": json.RawMessage("1")}},
	} {
		got, err := (&UserMessage{Kind: UserMessageClearChat, Value: json.RawMessage(text)}).ClearChat()
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
		require.NoError(t, (&GroupAction{Kind: GroupClearChat, Value: json.RawMessage(text)}).Validate(), text)
	}
	for text, want := range map[string]string{
		`"bad"`: "value: not a JSON object", `[]`: "value: not a JSON object", `{"id":"m1"}`: "value.userId: missing", `{"id":"m1","userId":""}`: "value.userId: missing",
		`{"userId":5}`: "value.userId: wrong JSON type",
	} {
		_, err := (&UserMessage{Kind: UserMessageClearChat, Value: json.RawMessage(text)}).ClearChat()
		require.EqualError(t, err, "galene: invalid usermessage: "+want, text)
		action := &GroupAction{Kind: GroupClearChat, Value: json.RawMessage(text)}
		require.EqualError(t, action.Validate(), "galene: invalid groupaction: "+want)
	}
	_, err := (&UserMessage{Kind: UserMessageInfo}).ClearChat()
	require.EqualError(t, err, "galene: invalid usermessage: kind: is not clearchat")
}

func TestUserInfoSaysWhoAUserIs(t *testing.T) {
	t.Parallel()
	got, err := (&UserMessage{Kind: UserMessageUserInfo, Value: json.RawMessage(`{"id":"id-bob","username":"bob","address":"192.0.2.1:5000"}`)}).UserInfo()
	require.NoError(t, err)
	require.Equal(t, &UserInfo{ID: "id-bob", Username: "bob", Address: "192.0.2.1:5000"}, got)
	for text, want := range map[string]string{
		``: "value: missing", `null`: "value: missing", `[]`: "value: not a JSON object", `{"address":5}`: "value.address: wrong JSON type",
	} {
		_, err = (&UserMessage{Kind: UserMessageUserInfo, Value: json.RawMessage(text)}).UserInfo()
		require.EqualError(t, err, "galene: invalid usermessage: "+want, text)
	}
	_, err = new(UserMessage).UserInfo()
	require.EqualError(t, err, "galene: invalid usermessage: kind: is not userinfo")
}

func TestFileTransferIsReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]*FileTransfer{
		`{"type":"invite","version":["1"],"id":"f1","name":"a.txt","size":0,"mimetype":"text/plain"}`: {
			Type: FileInvite, Version: []string{FileTransferVersion}, ID: "f1",
			Name: "a.txt", Size: new(uint64(0)), MimeType: "text/plain",
		},
		`{"type":"offer","version":["1"],"id":"f1","sdp":"v=0\r\n"}`: {Type: FileOffer, Version: []string{"1"}, ID: "f1", SDP: "v=0\r\n"},
		`{"type":"answer","id":"f1","sdp":"v=0\r\n"}`:                {Type: FileAnswer, ID: "f1", SDP: "v=0\r\n"},
		`{"type":"ice","id":"f1","candidate":null}`:                  {Type: FileICE, ID: "f1", Candidate: json.RawMessage("null")},
		`{"type":"ice","id":"f1","candidate":{"candidate":"c"}}`:     {Type: FileICE, ID: "f1", Candidate: json.RawMessage(`{"candidate":"c"}`)},
		`{"type":"cancel","id":"f1","message":"no","z":1}`:           {Type: FileCancel, ID: "f1", Message: "no", Extra: Fields{"z": json.RawMessage("1")}},
		`{"type":"reject","id":"f1"}`:                                {Type: "reject", ID: "f1"}, // of old
	} {
		m := NewFileTransfer("id-bob", f)
		require.Equal(t, &UserMessage{Kind: UserMessageFileTransfer, Dest: "id-bob", Value: json.RawMessage(want)}, m)
		require.NoError(t, m.Validate())
		b, err := Encode(m)
		require.NoError(t, err)
		again, err := Decode(b)
		require.NoError(t, err)
		got, err := again.(*UserMessage).FileTransfer()
		require.NoError(t, err)
		require.Equal(t, f, got)
	}
}

func TestFileTransferThatLacksSomething(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``: "value: missing", `"invite"`: "value: not a JSON object", `{"id":"f1"}`: "value.type: missing",
		`{"type":"cancel"}`: "value.id: missing", `{"type":"invite","id":"f1"}`: "value.size: missing",
		`{"type":"offer","id":"f1"}`: "value.sdp: missing", `{"type":"answer","id":"f1","sdp":""}`: "value.sdp: missing",
		`{"type":"invite","id":"f1","size":-1}`:                    "value.size: number out of range",
		`{"type":"invite","id":"f1","size":1.5}`:                   "value.size: wrong JSON type",
		`{"type":"invite","id":"f1","size":"1"}`:                   "value.size: wrong JSON type",
		`{"type":"invite","id":"f1","size":1e30}`:                  "value.size: number out of range",
		`{"type":"offer","id":"f1","sdp":"v=0","version":"1"}`:     "value.version: wrong JSON type",
		`{"type":"offer","id":"f1","sdp":"v=0","version":["1",2]}`: "value.version[1]: wrong JSON type",
		`{"type":"invite","id":"f1","size":1,"name":["a"]}`:        "value.name: wrong JSON type",
	} {
		f, err := (&UserMessage{Kind: UserMessageFileTransfer, Value: json.RawMessage(text)}).FileTransfer()
		require.Nil(t, f)
		require.EqualError(t, err, "galene: invalid usermessage: "+want, text)
	}
	_, err := new(UserMessage).FileTransfer()
	require.EqualError(t, err, "galene: invalid usermessage: kind: is not filetransfer")
	require.Error(t, NewFileTransfer("a", &FileTransfer{Type: FileCancel, ID: "\xff"}).Validate())
}

func TestFileTransferEndsItsCandidatesWithNull(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"", "null", " null "} {
		c, ok, err := (&FileTransfer{Type: FileICE, Candidate: json.RawMessage(end)}).Init()
		require.NoError(t, err)
		require.False(t, ok)
		require.Equal(t, ICECandidateInit{}, c)
	}
	c, ok, err := (&FileTransfer{Candidate: json.RawMessage(`{"candidate":"c ufrag abcd","sdpMid":"0"}`)}).Init()
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, ICECandidateInit{Candidate: "c ufrag abcd", SDPMid: new("0"), UsernameFragment: new("abcd")}, c)
	_, ok, err = (&FileTransfer{Candidate: json.RawMessage(`{"sdpMid":0}`)}).Init()
	require.False(t, ok)
	require.EqualError(t, err, "galene: invalid usermessage: value.candidate.sdpMid: wrong JSON type")
}

func TestCandidatesFindTheirFragmentInside(t *testing.T) {
	t.Parallel()
	const line = "candidate:2070692838 1 udp 2130706431 192.0.2.2 47786 typ host"
	for _, tt := range []struct {
		line string
		own  string // of usernameFragment
		want *string
	}{
		{line + " ufrag jZLdsuxOcoEnMncg", `null`, new("jZLdsuxOcoEnMncg")},
		{line + " generation 0 ufrag abcd network-cost 999", `null`, new("abcd")},
		{line + " ufrag abcd", `"efgh"`, new("efgh")}, // what is said in its place counts
		{line + " ufrag abcd", `""`, new("")},
		{line, `null`, nil},
		{line + " ufrag", `null`, nil},
		{line + " ufrag ", `null`, nil},
		{line + " xufrag abcd", `null`, nil},
		{"", `null`, nil},
	} {
		m := &ICE{ID: "s1", Candidate: json.RawMessage(`{"candidate":"` + tt.line + `","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":` + tt.own + `}`)}
		c, err := m.Init()
		require.NoError(t, err)
		want := ICECandidateInit{Candidate: tt.line, SDPMid: new("0"), SDPMLineIndex: new(uint16(0)), UsernameFragment: tt.want}
		require.Equal(t, want, c, tt.line)
	}
}

func TestNewICEWritesWhatInitReads(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]ICECandidateInit{
		`{"candidate":"","sdpMid":null,"sdpMLineIndex":null,"usernameFragment":null}`:        {},
		`{"candidate":"c\n<&>","sdpMid":"","sdpMLineIndex":65535,"usernameFragment":"abcd"}`: {Candidate: "c\n<&>", SDPMid: new(""), SDPMLineIndex: new(uint16(65535)), UsernameFragment: new("abcd")},
	} {
		m := NewICE("s1", c)
		require.Equal(t, want, string(m.Candidate))
		require.NoError(t, m.Validate())
		got, err := m.Init()
		require.NoError(t, err)
		require.Equal(t, c, got)
	}
	bad := NewICE("s1", ICECandidateInit{SDPMid: new("\xff")})
	require.EqualError(t, bad.Validate(), "galene: invalid ice: candidate: "+jsonx.ErrUTF8.Error())
}

func TestConfigurationIsThatOfTheTraces(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, l := range wireMessages(t, "v2") {
		if l.file != "22-rtcconfiguration.jsonl" {
			continue
		}
		m, err := Decode(l.Msg)
		require.NoError(t, err)
		joined, ok := m.(*Joined)
		if !ok {
			continue
		}
		c, err := joined.Configuration()
		require.NoError(t, err, l.place)
		b, err := c.JSON()
		require.NoError(t, err)
		require.JSONEq(t, string(joined.RTCConfiguration), string(b), l.place)
		for _, s := range c.ICEServers {
			require.Equal(t, "password", s.CredentialType, l.place)
			for _, url := range s.URLs {
				seen[url[:4]+" "+c.ICETransportPolicy] = true
			}
			require.Empty(t, s.Extra)
		}
		require.Empty(t, c.Extra)
	}
	require.Equal(t, map[string]bool{"turn relay": true, "stun relay": true}, seen)
}

func TestConfigurationIsEmptyOrWrong(t *testing.T) {
	t.Parallel()
	for _, none := range []string{"", "null", "{}"} {
		c, err := (&Joined{RTCConfiguration: json.RawMessage(none)}).Configuration()
		require.NoError(t, err)
		require.Equal(t, new(RTCConfiguration), c)
	}
	for text, want := range map[string]string{
		`[]`: ": not a JSON object", `{"iceServers":5}`: ".iceServers: wrong JSON type", `{"iceServers":[{"urls":"stun:a"}]}`: ".iceServers[0].urls: wrong JSON type",
		`{"iceTransportPolicy":1}`: ".iceTransportPolicy: wrong JSON type",
	} {
		c, err := (&Joined{RTCConfiguration: json.RawMessage(text)}).Configuration()
		require.Nil(t, c)
		require.EqualError(t, err, "galene: invalid joined: rtcConfiguration"+want)
	}
	b, err := (*RTCConfiguration)(nil).JSON()
	require.NoError(t, err)
	require.Equal(t, "{}", string(b))
	b, err = (&RTCConfiguration{ICEServers: []ICEServer{{}}, Extra: Fields{"z": json.RawMessage("1")}}).JSON()
	require.NoError(t, err)
	require.Equal(t, `{"iceServers":[{"urls":[]}],"z":1}`, string(b))
	_, err = (&RTCConfiguration{ICEServers: []ICEServer{{Credential: "\xff"}}}).JSON()
	require.ErrorIs(t, err, jsonx.ErrUTF8)
}

func TestTextIsAStringAlone(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{`"a"`: "a", `""`: "", `"\u00e9\n"`: "é\n", `"\ud800"`: "\ufffd"} {
		text, ok := Text(json.RawMessage(raw))
		require.True(t, ok, raw)
		require.Equal(t, want, text)
	}
	for _, raw := range []string{"", "null", "1", `{}`, `["a"]`, `"a`, `"a" "b"`, "\"\xff\"", "a"} {
		text, ok := Text(json.RawMessage(raw))
		require.False(t, ok, raw)
		require.Empty(t, text)
	}
	for _, text := range []string{"", "a\"\\\n", "<&>é😀\u2028"} {
		got, ok := Text(NewText(text))
		require.True(t, ok)
		require.Equal(t, text, got)
	}
	require.Equal(t, "\"a\ufffdb\"", string(NewText("a\xff\xfeb")))
}
