package interop

import "testing"

// A deviation is a case in which our server differs from the real one on purpose.
type deviation struct {
	why      string
	skipReal bool     // the real server cannot be asked
	ours     []string // what our server says, for those cases that compare replies
}

// deviations are all of them, by the names of cases.
var deviations = map[string]deviation{
	"redirect": {why: "clients of the real server see the redirection in the status and do not join", skipReal: true},

	"GET /ws": {why: "it is not the request that is wrong (RFC 9110, section 15.5.22)", ours: []string{"426 Upgrade Required"}},

	"large history": {why: "the history of a group has a limit in bytes"},

	"two values":           {why: "only the first one would be read", ours: closed},
	"garbage behind":       {why: "it would not be read", ours: closed},
	"name of another case": {why: "names match exactly", ours: fatal("1002", "unexpected message")},
	"duplicate name":       {why: "which one counts is a matter of the reader", ours: closed},
	"too large":            {why: "the carrier gives a reason", ours: []string{"closed 1009 read limited at 1048577 bytes"}},
	"chat without a sender": {why: "it would look as if it came from the server", ours: []string{
		`{"id":"made","source":"id-case","time":"now","type":"chat","username":"case","value":"x"}`,
	}},
	"token of another group": {
		why: "an operator of one group would edit the tokens of all", ours: []string{"error", "file does not exist"},
	},
	"forged kicked":     {why: "only a server kicks", ours: []string{galeneError("not authorised")}},
	"forged token":      {why: "as above", ours: []string{galeneError("not authorised")}},
	"forged list":       {why: "as above", ours: []string{galeneError("not authorised")}},
	"forged userinfo":   {why: "as above", ours: []string{galeneError("not authorised")}},
	"same chat id":      {why: "clearing the one would clear the other", ours: []string{galeneError("duplicate message id")}},
	"offer of nonsense": {why: "without an SFU nobody reads it before its receiver", ours: nothing},
	"offer of nothing":  {why: "as above", ours: nothing},
}

// expected returns what a server should say in a case, of which want is what the real one
// says.
func (s *galeneServer) expected(name string, want []string) []string {
	if d, ok := deviations[name]; ok && !s.real {
		return d.ours
	}
	return want
}

// skipReal skips a test that the real server cannot be put to.
func (s *galeneServer) skipReal(t *testing.T, name string) {
	t.Helper()
	if d := deviations[name]; s.real && d.skipReal {
		t.Skip(d.why)
	}
}
