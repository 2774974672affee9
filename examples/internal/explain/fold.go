package explain

import (
	"bytes"
	"encoding/json"
	"net"
	"strconv"
	"strings"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

const (
	maxFolds = 64
	// maxFoldDepth is how deep folds are looked for.
	maxFoldDepth = 16
	// longMember is how long a member is, as JSON, that is folded.
	longMember = 100
)

// longMembers are those that have a fold of their own where they are long.
var longMembers = map[string]bool{
	"rtpCapabilities": true, "rtpParameters": true, "sctpCapabilities": true, "sctpParameters": true,
	"dtlsParameters": true, "iceParameters": true, "iceCandidates": true, "routerRtpCapabilities": true,
	"device_info": true, "ice_servers": true, "iceServers": true, "rtcConfiguration": true, "iceConfig": true,
	"roomData": true, "clientList": true, "apiField": true, "scores": true, "stats": true,
}

// A folder finds the folds of a message.
type folder struct {
	sdp   string // what a description is whose place does not say it: "offer", "answer" or ""
	folds []Fold
}

// foldsOf returns the folds of a JSON value: its descriptions, candidates, and the members
// that are long. sdp is what descriptions are that have no type with them: "offer",
// "answer" or "". The value is one that may be shown.
func foldsOf(value []byte, sdp string) []Fold {
	if !hasFolds(value) {
		return nil
	}
	f := folder{sdp: sdp}
	f.value("", value, 0)
	return f.folds
}

// hasFolds reports whether there may be folds in a value, so that most are not looked through.
func hasFolds(value []byte) bool {
	for _, word := range [...]string{"v=0", "andidate", `\u`} {
		if bytes.Contains(value, []byte(word)) {
			return true
		}
	}
	if len(value) < longMember {
		return false
	}
	for name := range longMembers {
		if bytes.Contains(value, []byte(name)) {
			return true
		}
	}
	return false
}

func (f *folder) add(fold Fold) {
	if len(f.folds) < maxFolds {
		f.folds = append(f.folds, fold)
	}
}

// value looks for folds in a value that is called name.
func (f *folder) value(name string, value []byte, depth int) {
	value = bytes.TrimSpace(value)
	if len(value) == 0 || depth > maxFoldDepth || len(f.folds) >= maxFolds {
		return
	}
	switch value[0] {
	case '{':
		f.object(name, value, depth)
	case '[':
		if longMembers[name] && len(value) >= longMember {
			f.add(jsonFold(name, value))
			return
		}
		var elements []json.RawMessage
		if json.Unmarshal(value, &elements) != nil {
			return
		}
		for _, element := range elements {
			f.value(name, element, depth+1)
		}
	case '"':
		var text string
		if json.Unmarshal(value, &text) == nil {
			f.text(name, text, f.sdp, nil)
		}
	}
}

func (f *folder) object(name string, value []byte, depth int) {
	if longMembers[name] && len(value) >= longMember {
		f.add(jsonFold(name, value))
		return
	}
	o, err := jsonx.Scan(value)
	if err != nil {
		return
	}
	defer o.Free()
	sdp := f.sdp
	if typ := textMember(o, "type"); isSDPType(typ) {
		sdp = typ
	}
	_, isCandidate := o.Get("candidate")
	for i := range o.Len() {
		member, inner := o.Member(i)
		text, ok := jsonx.Text(inner)
		switch {
		case ok && isCandidate && string(member) == "candidate":
			f.text(string(member), string(text), sdp, o)
		case ok:
			f.text(string(member), string(text), sdp, nil)
		default:
			f.value(string(member), inner, depth+1)
		}
	}
}

func isSDPType(s string) bool {
	return s == "offer" || s == "answer" || s == "pranswer"
}

// text folds a text that is a description or a candidate. An object is that which a
// candidate stands in.
func (f *folder) text(name, text, sdp string, object *jsonx.Object) {
	switch {
	case strings.HasPrefix(text, "v=0"):
		f.add(sdpFold(sdp, text))
	case strings.HasPrefix(text, "candidate:"), strings.HasPrefix(text, "a=candidate:"), object != nil:
		fold := candidateFold(text)
		if object != nil {
			for _, name := range [...]string{"sdpMid", "sdpMLineIndex", "usernameFragment", "id", "label"} {
				if value, ok := object.Get(name); ok && !jsonx.IsNull(value) {
					fold.Text += "\n" + name + ": " + strings.Trim(string(value), `"`)
				}
			}
		}
		f.add(fold)
	}
}

func textMember(o *jsonx.Object, name string) string {
	value, _ := o.Get(name)
	text, _ := jsonx.Text(value)
	return string(text)
}

// sdpFold folds a description, of which kind is "offer", "answer" or "".
func sdpFold(kind, sdp string) Fold {
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(sdp, "\r\n", "\n"), "\n"), "\n")
	var media []string
	for _, line := range lines {
		if rest, ok := strings.CutPrefix(line, "m="); ok {
			name, rest, _ := strings.Cut(rest, " ")
			if port, _, _ := strings.Cut(rest, " "); port == "0" {
				name += " (rejected)"
			}
			media = append(media, name)
		}
	}
	title := "SDP"
	if kind != "" {
		title += " " + kind
	}
	const shown = 8
	if len(media) > shown {
		media = append(media[:shown], strconv.Itoa(len(media)-shown)+" more")
	}
	if len(media) == 0 {
		media = []string{"no media"}
	}
	return Fold{Title: clip(title+": "+strings.Join(media, ", "), 200), Text: strings.Join(lines, "\n")}
}

// candidateFold folds a candidate as in SDP, or the empty one that is the end.
func candidateFold(candidate string) Fold {
	if candidate == "" {
		return Fold{Title: "candidate: end of candidates"}
	}
	fold := Fold{Title: "candidate", Text: candidate}
	// foundation component transport priority address port typ type
	fields := strings.Fields(strings.TrimPrefix(candidate, "a="))
	if len(fields) >= 8 && fields[6] == "typ" {
		fold.Title += ": " + fields[7] + " " + strings.ToLower(fields[2]) + " " + net.JoinHostPort(fields[4], fields[5])
		fold.Title = clip(fold.Title, 200)
	}
	return fold
}

// jsonFold folds a member that is long.
func jsonFold(name string, value []byte) Fold {
	var b bytes.Buffer
	if json.Indent(&b, value, "", "  ") != nil {
		b.Write(value)
	}
	return Fold{Title: name, Text: b.String()}
}
