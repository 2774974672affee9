package interop

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A rawMediasoup is a connection to a server without a client: what it says and hears are
// frames of protoo.
type rawMediasoup struct {
	t     *testing.T
	conn  transport.Conn
	name  string
	marks int
	over  bool

	consumers []uint32 // in the order in which the server has told of them
	known     map[uint32]string
}

// raw opens a connection for what our client does not send.
func (s *eitherMediasoup) raw(t *testing.T, room, name string) *rawMediasoup {
	t.Helper()
	conn, err := s.dial(bounded(t), room, name)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(transport.StatusNormal, "") })
	return &rawMediasoup{t: t, conn: conn, name: name, known: make(map[uint32]string)}
}

// say sends a frame, or with the prefix "binary:" one in hexadecimal that is not of text.
func (r *rawMediasoup) say(frame string) {
	r.t.Helper()
	if text, ok := strings.CutPrefix(frame, "binary:"); ok {
		data, err := hex.DecodeString(text)
		require.NoError(r.t, err)
		_ = r.conn.Write(transport.Binary, data)
		return
	}
	_ = r.conn.Write(transport.Text, []byte(frame)) // the server may have closed: its replies say so
}

// next returns the next frame, or the end of the connection.
func (r *rawMediasoup) next() string {
	r.t.Helper()
	limit := time.AfterFunc(patience, func() { _ = r.conn.Close(transport.StatusNormal, "the test is over") })
	defer limit.Stop()
	typ, b, err := r.conn.Read(nil)
	var closed *transport.CloseError
	switch {
	case errors.As(err, &closed):
		r.over = true
		return fmt.Sprint("closed ", int(closed.Code)) // servers differ in their words
	case err != nil:
		require.NoError(r.t, err)
	case typ == transport.Binary:
		return "binary:" + hex.EncodeToString(b)
	}
	return string(b)
}

// markTransport is one that a peer has for nothing else than to be asked for new parameters:
// the answer comes after those to all that was said before.
const markTransport = 70

// replies returns everything that the server has said, up to its end, or up to an answer that
// comes after all others. There should be as many frames as that: it waits for them.
func (r *rawMediasoup) replies(many int) (frames []string) {
	r.t.Helper()
	const turns = 4 // of the event loop that a real server takes for something at most
	limit := time.Now().Add(patience)
	for n := 0; n < turns || len(frames) < many && !r.over && time.Now().Before(limit); n++ {
		r.marks++
		r.say(fmt.Sprintf(`{"request":true,"id":77%05d,"method":"mediasoup-request",`+
			`"data":{"method":"restartTransport","target":"peer","id":%d}}`, r.marks, markTransport+r.number()))
		mark := fmt.Sprintf(`{"response":true,"id":77%05d,`, r.marks)
		for !r.over {
			frame := r.next()
			if strings.HasPrefix(frame, mark) {
				break
			}
			frames = append(frames, frame)
		}
	}
	return frames
}

// number returns one for each peer of a case, since ids are for the whole room.
func (r *rawMediasoup) number() int {
	return slices.Index([]string{"SELF", "OTHER", "SPY"}, r.name)
}

// asks sends a request of mediasoup's, and returns the answer; what comes meanwhile is noted.
func (r *rawMediasoup) asks(data string) string {
	r.t.Helper()
	r.marks++
	id := fmt.Sprintf("77%05d", r.marks)
	r.say(`{"request":true,"id":` + id + `,"method":"mediasoup-request","data":` + data + `}`)
	for {
		frame := r.next()
		require.False(r.t, r.over, frame)
		if strings.HasPrefix(frame, `{"response":true,"id":`+id+`,`) {
			r.short(frame) // for the consumers in it
			require.Contains(r.t, frame, `"ok":true`, data)
			return frame
		}
		r.short(frame)
	}
}

// The parameters of everybody in a case.
var (
	mediasoupCaps = textOfJSON(mediasoupRoom())

	mediasoupDTLS = `{"role":"server","fingerprints":[{"algorithm":"sha-256","value":"` +
		strings.TrimSuffix(strings.Repeat("AB:", 32), ":") + `"}]}`

	mediasoupAudio = `{"muxId":"m1","codecs":[{"name":"opus","mimeType":"audio/opus","clockRate":48000,` +
		`"payloadType":109,"channels":2,"rtcpFeedback":[],"parameters":{"useinbandfec":1}}],` +
		`"headerExtensions":[{"uri":"` + mediasoupproto.ExtensionAudioLevel + `","id":7},` +
		`{"uri":"` + mediasoupproto.ExtensionMID + `","id":9}],` +
		`"encodings":[{"ssrc":5001}],"rtcp":{"cname":"c","reducedSize":true,"mux":true}}`

	mediasoupVideo = `{"muxId":"m2","codecs":[{"name":"VP8","mimeType":"video/VP8","clockRate":90000,` +
		`"payloadType":120,"rtcpFeedback":[{"type":"nack"}],"parameters":{}},` +
		`{"name":"rtx","mimeType":"video/rtx","clockRate":90000,"payloadType":121,"parameters":{"apt":120}}],` +
		`"headerExtensions":[{"uri":"` + mediasoupproto.ExtensionAbsSendTime + `","id":2}],` +
		`"encodings":[{"ssrc":6001,"rtx":{"ssrc":6002}}],"rtcp":{"cname":"c","reducedSize":true,"mux":true}}`
)

func textOfJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// patched returns a JSON value with changes, each "path=value", or "-path" for what is taken
// away.
func patched(base string, changes ...string) string {
	var v any
	d := json.NewDecoder(strings.NewReader(base))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	for _, change := range changes {
		path, value, set := strings.Cut(change, "=")
		v = patch(v, strings.Split(strings.TrimPrefix(path, "-"), "."), json.RawMessage(value), set)
	}
	return textOfJSON(v)
}

func patch(v any, path []string, value json.RawMessage, set bool) any {
	if len(path) == 0 {
		d := json.NewDecoder(bytes.NewReader(value))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			panic(string(value))
		}
		return v
	}
	switch of := v.(type) {
	case map[string]any:
		if len(path) == 1 && !set {
			delete(of, path[0])
			return of
		}
		of[path[0]] = patch(of[path[0]], path[1:], value, set)
		return of
	case []any:
		i, err := strconv.Atoi(path[0])
		switch {
		case err != nil:
			panic(path[0])
		case i == len(of):
			return append(of, patch(nil, path[1:], value, set))
		case len(path) == 1 && !set:
			return slices.Delete(of, i, i+1)
		}
		of[i] = patch(of[i], path[1:], value, set)
		return of
	}
	panic(fmt.Sprintf("%v has no %s", v, path[0]))
}

// frameOfLine returns the frame of a line of a case: "?" and the JSON of a request of
// mediasoup's, with an id, "!" and that of a notification, or the frame as it stands.
func frameOfLine(line string, id int) string {
	switch {
	case strings.HasPrefix(line, "? "):
		return fmt.Sprintf(`{"request":true,"id":%d,"method":"mediasoup-request","data":%s}`, id, line[2:])
	case strings.HasPrefix(line, "! "):
		return `{"notification":true,"method":"mediasoup-notification","data":` + line[2:] + `}`
	}
	return line
}

var aConsumer = regexp.MustCompile(`"?\bC(\d)\b"?`)

// spelled returns a text with the ids of consumers that it calls C1 and so on.
func (r *rawMediasoup) spelled(line string) string {
	return aConsumer.ReplaceAllStringFunc(line, func(name string) string {
		n, _ := strconv.Atoi(aConsumer.FindStringSubmatch(name)[1])
		if n > len(r.consumers) {
			return name
		}
		return strconv.FormatUint(uint64(r.consumers[n-1]), 10)
	})
}

// short returns a frame without what differs from time to time, and in few words where that
// loses nothing.
func (r *rawMediasoup) short(frame string) string {
	d := json.NewDecoder(strings.NewReader(frame))
	d.UseNumber()
	var o object
	if d.Decode(&o) != nil {
		return frame
	}
	id, _ := o["id"].(json.Number)
	data, _ := o["data"].(object)
	switch {
	case o["response"] == true && o["ok"] == true && len(o) == 4 && data != nil:
		return strings.TrimSuffix(fmt.Sprintf("%s ok %s", id, r.inShort(data)), " {}")
	case o["response"] == true && len(o) == 4 && o["ok"] == nil:
		return fmt.Sprintf("%s %v %v", id, o["errorCode"], o["errorReason"])
	case o["notification"] == true && o["method"] == "mediasoup-notification" && len(o) == 3 && data != nil:
		method, _ := data["method"].(string)
		require.Equal(r.t, object{"target": "peer", "notification": true},
			object{"target": data["target"], "notification": data["notification"]}, frame)
		delete(data, "method")
		delete(data, "target")
		delete(data, "notification")
		return strings.TrimSuffix(method+" "+r.inShort(data), " {}")
	}
	return text(r.t, o)
}

// inShort returns the data of a frame.
func (r *rawMediasoup) inShort(o object) string {
	r.shorten(o)
	return text(r.t, o)
}

// usual are members that say nothing new.
var usual = object{"paused": false, "preferredProfile": "default", "effectiveProfile": nil}

func (r *rawMediasoup) shorten(o object) {
	if o["preferredProfile"] != nil && o["kind"] != nil { // of a consumer
		for name, value := range usual {
			if v, ok := o[name]; ok && v == value {
				delete(o, name)
			}
		}
		id := r.idOf(o["id"])
		if !slices.Contains(r.consumers, id) {
			r.consumers = append(r.consumers, id)
			r.known[id] = fmt.Sprint("C", len(r.consumers))
		}
	}
	for name, value := range o {
		switch v := value.(type) {
		case json.Number:
			if c, ok := r.known[r.idOf(v)]; ok && name == "id" {
				o[name] = c
			}
		case []any:
			switch name {
			case "iceCandidates":
				o[name] = r.candidates(v)
				continue
			case "stats":
				o[name] = "…"
				continue
			}
			for _, x := range v {
				if x, ok := x.(object); ok {
					r.shorten(x)
				}
			}
		case object:
			switch name {
			case "rtpParameters":
				o[name] = r.parameters(v)
			case "rtpCapabilities":
				if sameJSON(text(r.t, v), mediasoupCaps) {
					o[name] = "of the room"
				}
			case "iceParameters":
				require.Regexp(r.t, `^[a-z0-9]{16}$`, v["usernameFragment"])
				require.Regexp(r.t, `^[a-z0-9]{32}$`, v["password"])
				require.Equal(r.t, true, v["iceLite"])
				require.Len(r.t, v, 3)
				o[name] = "ICE"
			case "dtlsParameters":
				require.Len(r.t, v, 2)
				require.IsType(r.t, []any{}, v["fingerprints"])
				o[name] = v["role"]
			case "plainRtpParameters":
				require.Len(r.t, v, 2)
				require.NotEmpty(r.t, v["ip"])
				require.NotEmpty(r.t, v["port"])
				o[name] = "an address"
			}
		}
	}
}

func (r *rawMediasoup) idOf(v any) uint32 {
	n, ok := v.(json.Number)
	if !ok {
		return 0
	}
	id, _ := strconv.ParseUint(n.String(), 10, 32)
	return uint32(id)
}

// candidates returns candidates by their protocols.
func (r *rawMediasoup) candidates(all []any) string {
	var list []string
	for _, v := range all {
		c := v.(object)
		protocol := c["protocol"].(string)
		want := object{
			"family": "ipv4", "foundation": protocol + "candidate", "protocol": protocol, "type": "host",
			"ip": c["ip"], "port": c["port"], "priority": c["priority"],
		}
		if protocol == "tcp" {
			want["tcpType"] = "passive"
		}
		require.Equal(r.t, want, c)
		list = append(list, protocol)
	}
	return strings.Join(list, " ")
}

// parameters returns those of a consumer: the payload types of codecs that are the room's, the
// ids of header extensions that are, and how many streams there are. What is not as usual
// stays as it is.
func (r *rawMediasoup) parameters(p object) any {
	require.Subset(r.t, []string{"codecs", "encodings", "headerExtensions", "rtcp"}, keys(p))
	var codecs, extensions, streams []string
	room := mediasoupRoom()
	for _, v := range list(p["codecs"]) {
		codec := v.(object)
		of := slices.IndexFunc(room.Codecs, func(c mediasoupproto.CodecCapability) bool {
			return fmt.Sprint(codec["payloadType"]) == fmt.Sprint(c.PreferredPayloadType)
		})
		if of < 0 {
			return p
		}
		var want object
		d := json.NewDecoder(strings.NewReader(textOfJSON(room.Codecs[of])))
		d.UseNumber()
		require.NoError(r.t, d.Decode(&want))
		want["payloadType"] = want["preferredPayloadType"]
		delete(want, "preferredPayloadType")
		delete(want, "kind")
		s := fmt.Sprint(want["payloadType"])
		if !reflect.DeepEqual(want["rtcpFeedback"], codec["rtcpFeedback"]) {
			s += text(r.t, codec["rtcpFeedback"])
		}
		delete(want, "rtcpFeedback")
		delete(codec, "rtcpFeedback")
		if !reflect.DeepEqual(want, codec) {
			s += text(r.t, codec)
		}
		codecs = append(codecs, s)
	}
	for _, v := range list(p["headerExtensions"]) {
		x := v.(object)
		s := fmt.Sprint(x["id"])
		if len(x) != 2 || !slices.ContainsFunc(room.HeaderExtensions, func(h mediasoupproto.HeaderExtensionCapability) bool {
			return h.URI == x["uri"] && fmt.Sprint(h.PreferredID) == s
		}) {
			s = text(r.t, x)
		}
		extensions = append(extensions, s)
	}
	for _, v := range list(p["encodings"]) {
		e := v.(object)
		s := "stream"
		require.NotZero(r.t, r.idOf(e["ssrc"]))
		delete(e, "ssrc")
		if rtx, ok := e["rtx"].(object); ok && r.idOf(rtx["ssrc"]) != 0 && len(rtx) == 1 {
			s += "+rtx"
			delete(e, "rtx")
		}
		if len(e) > 0 {
			s += text(r.t, e)
		}
		streams = append(streams, s)
	}
	s := strings.Join(codecs, ",") + " " + cmp.Or(strings.Join(extensions, ","), "-") + " " + strings.Join(streams, ",")
	switch rtcp, ok := p["rtcp"]; {
	case !ok:
		s += " no rtcp"
	case !sameJSON(text(r.t, rtcp), `{"cname":"c","reducedSize":true,"mux":true}`):
		s += " " + text(r.t, rtcp)
	}
	return s
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}
