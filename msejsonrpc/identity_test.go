package msejsonrpc

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

func TestDateIsReadFromStringsAndNumbers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Date{
		`"2023-11-14T22:13:20Z"`: "2023-11-14T22:13:20Z",
		`"yesterday"`:            "yesterday",
		`"\u0061"`:               "a",
		`""`:                     "",
		`null`:                   "",
		`1700000000`:             "2023-11-14T22:13:20Z",
		`1700000000.0`:           "2023-11-14T22:13:20Z",
		`1700000000.999`:         "2023-11-14T22:13:20Z",
		`1.7e9`:                  "2023-11-14T22:13:20Z",
		`0`:                      "1970-01-01T00:00:00Z",
		`-1`:                     "1969-12-31T23:59:59Z",
		`253402300799`:           "9999-12-31T23:59:59Z",
		`-62135596799`:           "0001-01-01T00:00:01Z",
	} {
		i, err := (&Response{Result: json.RawMessage(`{"validTo":` + text + `}`)}).Identity()
		require.NoError(t, err, text)
		require.Equal(t, want, i.ValidTo, text)

		var d Date
		require.NoError(t, json.Unmarshal([]byte(text), &d), text)
		require.Equal(t, want, d, "%s: with encoding/json", text)
	}
}

func TestDateIsNeitherTooFarAwayNorOfAnotherType(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		`253402300800`:       jsonx.ErrRange, // the year 10000, which RFC 3339 cannot write
		`1700000000000`:      jsonx.ErrRange, // milliseconds, as Date.now of JavaScript returns
		`-62135596801`:       jsonx.ErrRange,
		`1e300`:              jsonx.ErrRange,
		`true`:               jsonx.ErrType,
		`[]`:                 jsonx.ErrType,
		`{"seconds":1}`:      jsonx.ErrType,
		`[1700000000]`:       jsonx.ErrType,
		`{"$date":"1970-1"}`: jsonx.ErrType,
	} {
		require.ErrorIs(t, new(Date).UnmarshalJSON([]byte(text)), want, text)
		_, err := (&Response{Result: json.RawMessage(`{"validTo":` + text + `}`)}).Identity()
		require.IsType(t, new(UnexpectedResultError), err, text)
	}
	require.Error(t, new(Date).UnmarshalJSON([]byte(`1e999`)), "no float64")
}

func TestDateTellsItsTime(t *testing.T) {
	t.Parallel()
	want := time.Date(2023, 11, 14, 22, 13, 20, 0, time.UTC)
	for _, d := range []Date{
		NewDate(want),
		"2023-11-14T22:13:20Z", "2023-11-14T23:13:20+01:00", "2023-11-14T22:13:20.000Z",
		"Tue, 14 Nov 2023 22:13:20 GMT",
		"Tue Nov 14 2023 22:13:20 GMT+0000 (Coordinated Universal Time)",
		"Tue Nov 14 2023 23:13:20 GMT+0100 (Central European Standard Time)",
		"Tue Nov 14 2023 17:13:20 GMT-0500",
	} {
		at, ok := d.Time()
		require.True(t, ok, d)
		require.True(t, want.Equal(at), "%s is %v", d, at)
	}
	for _, d := range []Date{
		"", "yesterday", "1700000000", "2023-11-14", "2023-11-14 22:13:20", "14.11.2023", "token is valid to date",
		"Tue, 14 Nov 2023 22:13:20 EST", // whose offset is not known here
		"Tue Nov 14 2023 22:13:20", "Tue Nov 14 2023 25:13:20 GMT+0000", "2023-02-30T00:00:00Z",
	} {
		at, ok := d.Time()
		require.False(t, ok, d)
		require.True(t, at.IsZero(), d)
	}
}

func TestNewDateIsInUTCAndWholeSeconds(t *testing.T) {
	t.Parallel()
	at := time.Date(2023, 11, 14, 23, 13, 20, 999_999_999, time.FixedZone("CET", 3600))
	require.Equal(t, Date("2023-11-14T22:13:20Z"), NewDate(at))
	back, ok := NewDate(at).Time()
	require.True(t, ok)
	require.True(t, at.Truncate(time.Second).Equal(back))
	require.Empty(t, NewDate(time.Time{}), "none")
	require.Equal(t, Date("1970-01-01T00:00:00Z"), NewDate(time.Unix(0, 0)), "a point in time")
}

func TestIdentitySurvivesWhoAmI(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, i := range []*Identity{
		{},
		{
			Domain: "d", Agent: AgentWeb, Role: RoleAdmin, UserID: "u<&>", RoomID: "é", IPAddress: "2001:db8::1",
			TokenIssued: NewDate(now), ValidFrom: NewDate(now), ValidTo: NewDate(now.Add(time.Hour)),
		},
		{Agent: "toaster", Role: "owner", ValidTo: "never", Extra: Fields{"acme": json.RawMessage(`{ "a": 1.0 }`), "UserID": json.RawMessage(`2`)}},
	} {
		r, err := (&WhoAmI{ID: NumberID(4)}).Identity(i)
		require.NoError(t, err)
		require.NoError(t, r.Validate())
		b, err := Encode(r)
		require.NoError(t, err)
		m, err := Decode(b)
		require.NoError(t, err)
		again, err := m.(*Response).Identity()
		require.NoError(t, err)
		require.Equal(t, i, again)
	}
}

func TestIdentityWritesTheDocumentsMembersInItsOrder(t *testing.T) {
	t.Parallel()
	r, err := (&WhoAmI{ID: StringID("a")}).Identity(&Identity{Role: RoleUser, Agent: AgentMobile, Extra: Fields{"b": json.RawMessage(`1`), "a": json.RawMessage(`2`)}})
	require.NoError(t, err)
	require.Equal(t, StringID("a"), r.ID)
	require.Equal(t, `{"domain":"","agent":"mobile","role":"user","userId":"","roomId":"","ipAddress":"",`+
		`"tokenIssued":"","validFrom":"","validTo":"","a":2,"b":1}`, string(r.Result))
}

func TestIdentityThatCannotBeWrittenIsRefused(t *testing.T) {
	t.Parallel()
	for path, i := range map[string]*Identity{
		"result.domain":    {Domain: "\xff"},
		"result.role":      {Role: "\xff"},
		"result.validTo":   {ValidTo: "\xff"},
		"result.acme":      {Extra: Fields{"acme": json.RawMessage(`{`)}},
		"result.userId":    {Extra: Fields{"userId": json.RawMessage(`1`)}},
		"result.acme_deep": {Extra: Fields{"acme_deep": json.RawMessage(nestedArrays(63))}},
	} {
		r, err := (&WhoAmI{ID: NumberID(1)}).Identity(i)
		require.Nil(t, r, path)
		e, ok := errors.AsType[*ValidationError](err)
		require.True(t, ok, path)
		require.Equal(t, path, e.Field)
		require.Equal(t, "whoami", e.Type)
	}
	r, err := (&WhoAmI{ID: NumberID(1)}).Identity(&Identity{Extra: Fields{"a": json.RawMessage(nestedArrays(62))}})
	require.NoError(t, err)
	require.NoError(t, r.Validate(), "what can be made can be sent")
	_, err = Encode(r)
	require.NoError(t, err)
}

func TestIdentityIsNotReadFromAnythingElse(t *testing.T) {
	t.Parallel()
	for _, result := range []string{
		``, `null`, `"pong"`, `[]`, `1`, `{"domain":1}`, `{"role":null}`, `{"agent":["web"]}`, `{"domain":"a","domain":"b"}`, `{`, `{} {}`,
	} {
		i, err := (&Response{Result: json.RawMessage(result)}).Identity()
		require.Nil(t, i, result)
		e, ok := errors.AsType[*UnexpectedResultError](err)
		require.True(t, ok, result)
		require.Equal(t, "whoami", e.Type)
		require.Equal(t, result, string(e.Result))
		require.NotContains(t, err.Error(), "pong")
	}
}

func TestIdentityNamesTheUserInLogs(t *testing.T) {
	t.Parallel()
	i := &Identity{Domain: "example.org", Role: RoleSuper, UserID: "u7", RoomID: "r1", IPAddress: "192.0.2.1"}
	require.Equal(t, "super u7 of room r1 in domain example.org", i.String())
}
