package capture

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// from returns the side from which a message in a direction comes.
func from(dir string) (Side, error) {
	switch dir {
	case "c2s":
		return Client, nil
	case "s2c":
		return Server, nil
	}
	return "", fmt.Errorf("there is no direction %q", dir)
}

// at returns the time of traces that only have milliseconds since their start, which is then
// that of Unix.
func at(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// A cuttlefishTrace reads traces of Cuttlefish.
type cuttlefishTrace struct{ *builder }

type cuttlefishLine struct {
	Dir          string   `json:"dir"`
	Conn         string   `json:"conn"`
	Frame        string   `json:"frame"`
	Binary       bool     `json:"binary"`
	Truncated    bool     `json:"frame_truncated_in_trace"`
	FrameBytes   int      `json:"frame_bytes"`
	Event        string   `json:"event"`
	Flow         string   `json:"flow"`
	Note         string   `json:"note"`
	Server       string   `json:"server"`
	Path         string   `json:"path"`
	Method       string   `json:"method"`
	Status       int      `json:"status"`
	ContentType  string   `json:"content_type"`
	Subprotocols []string `json:"subprotocols"`
	Subprotocol  string   `json:"subprotocol"`
	Code         int      `json:"code"`
	Reason       string   `json:"reason"`
	Error        string   `json:"error"`
}

func (t *cuttlefishTrace) read(data []byte) error {
	var l cuttlefishLine
	if err := jsonx.Unmarshal(data, &l); err != nil {
		return err
	}
	if l.Event == "meta" {
		t.add(Entry{Kind: Note, Reason: strings.Trim(l.Note+"; "+l.Server, "; ")})
		return nil
	}
	e := Entry{Conn: l.Conn, Kind: Message, Data: []byte(l.Frame), Binary: l.Binary}
	if l.Truncated {
		e.Cut = l.FrameBytes
	}
	if l.Event == "note" && l.Dir == "" {
		t.add(Entry{Kind: Note, Reason: strings.TrimSpace("note " + rest(data, "event"))})
		return nil
	}
	var err error
	if e.From, err = from(l.Dir); err != nil {
		return err
	}
	switch l.Event {
	case "":
	case "open":
		e.Kind, e.URL, e.Header = Open, l.Path, header("Sec-Websocket-Protocol", strings.Join(l.Subprotocols, ", "))
	case "opened":
		if open := t.opened(l.Conn); open != nil {
			setHeader(open, AgreedSubprotocol, l.Subprotocol)
			return nil
		}
		e.Kind, e.Reason = Note, "opened, subprotocol "+l.Subprotocol
	case "open-failed":
		open := t.opened(l.Conn)
		if open == nil || l.Status == 0 {
			e.Kind, e.Reason = Note, strings.TrimSpace("not opened: "+l.Error)
			break
		}
		open.Status, open.Data = l.Status, e.Data
		if l.ContentType != "" {
			setHeader(open, "Content-Type", l.ContentType)
		}
		return nil
	case "close":
		e.Kind, e.Code, e.Reason = Close, l.Code, l.Reason
	case "http":
		e.Kind, e.Method, e.URL = Request, l.Method, l.Path
	case "http-response":
		asked := t.answered(l.Conn, "", l.Path)
		e.Kind, e.Method, e.URL, e.Status = Response, asked.Method, asked.URL, l.Status
		e.Header = header("Content-Type", l.ContentType)
	case "http-error":
		t.answered(l.Conn, "", l.Path)
		e.Kind, e.Reason = Note, "no answer: "+l.Error
	default:
		text := l.Event + " " + rest(data, "event", "dir", "conn", "role")
		e = Entry{Conn: l.Conn, Kind: Note, Reason: strings.TrimSpace(text)}
	}
	t.add(e)
	return nil
}

// rest returns the members of an object without some of them.
func rest(object []byte, without ...string) string {
	members, err := membersOf(object)
	if err != nil {
		return "" // its caller has read it already
	}
	for _, name := range without {
		delete(members, name)
	}
	if len(members) == 0 {
		return ""
	}
	text, err := json.Marshal(members)
	if err != nil {
		return ""
	}
	return string(text)
}

// An easyrtcTrace reads traces of EasyRTC.
type easyrtcTrace struct {
	*builder
	sessions map[string]string // the connection of a session
	sockets  map[string]string // the connection of a client's WebSocket
}

type easyrtcLine struct {
	Meta *struct {
		Flow   string `json:"flow"`
		Server string `json:"serverLib"`
	} `json:"meta"`
	Dir         string   `json:"dir"`
	Client      string   `json:"client"`
	Frame       string   `json:"frame"`
	Transport   string   `json:"transport"`
	Binary      bool     `json:"binary"`
	Truncated   bool     `json:"truncated"`
	FrameLength int      `json:"frameLength"`
	T           int64    `json:"t"`
	Event       string   `json:"event"`
	Note        string   `json:"note"`
	By          string   `json:"by"`
	Code        int      `json:"code"`
	Reason      string   `json:"reason"`
	Method      string   `json:"method"`
	URL         string   `json:"url"`
	Status      int      `json:"status"`
	ContentType string   `json:"contentType"`
	Cookie      string   `json:"cookie"`
	Origin      string   `json:"origin"`
	SetCookie   []string `json:"setCookie"`
	Body        string   `json:"body"`
	HTTP        *struct {
		Method      string   `json:"method"`
		URL         string   `json:"url"`
		ContentType string   `json:"contentType"`
		Cookie      string   `json:"cookie"`
		Origin      string   `json:"origin"`
		Status      int      `json:"status"`
		SetCookie   []string `json:"setCookie"`
		ACAO        string   `json:"acao"`
		Re          string   `json:"re"`
	} `json:"http"`
}

func (t *easyrtcTrace) read(data []byte) error {
	var l easyrtcLine
	if err := jsonx.Unmarshal(data, &l); err != nil {
		return err
	}
	if t.sessions == nil {
		t.sessions, t.sockets = make(map[string]string), make(map[string]string)
	}
	switch {
	case l.Meta != nil:
		t.add(Entry{Kind: Note, Reason: strings.Trim(l.Meta.Flow+"; "+l.Meta.Server, "; ")})
		return nil
	case l.Event != "":
		return t.event(&l, data)
	case l.Dir == "" && l.Note != "":
		t.add(Entry{Kind: Note, Time: at(l.T), Reason: l.Note})
		return nil
	}
	e := Entry{Time: at(l.T), Kind: Message, Data: []byte(l.Frame), Binary: l.Binary}
	var err error
	if e.From, err = from(l.Dir); err != nil {
		return err
	}
	if l.Binary {
		if e.Data, err = base64.StdEncoding.DecodeString(l.Frame); err != nil {
			return err
		}
	}
	if l.Truncated {
		e.Cut = l.FrameLength
	}
	switch h := l.HTTP; {
	case l.Transport != "polling" || h == nil:
		e.Conn = t.sockets[l.Client]
		if e.Conn == "" {
			e.Conn = t.current(l.Client)
		}
	case e.From == Client:
		e.Kind, e.Method, e.URL, e.Conn = Request, h.Method, h.URL, t.polling(l.Client, h.URL)
		e.Header = header("Content-Type", h.ContentType, "Cookie", h.Cookie, "Origin", h.Origin)
	default:
		e.Kind, e.Status = Response, h.Status
		e.Method, e.URL, _ = strings.Cut(h.Re, " ")
		e.Header = header("Content-Type", h.ContentType, "Set-Cookie", strings.Join(h.SetCookie, ", "),
			"Access-Control-Allow-Origin", h.ACAO)
		e.Conn = t.current(l.Client)
		if sid := SessionInURL(e.URL); sid != "" {
			e.Conn = t.polling(l.Client, e.URL)
		} else if sid := SessionInBody(e.Data); sid != "" {
			t.sessions[sid] = e.Conn
		}
		t.answered(e.Conn, e.Method, e.URL)
	}
	t.add(e)
	return nil
}

// polling returns the connection of a polling request.
func (t *easyrtcTrace) polling(client, url string) string {
	sid := SessionInURL(url)
	if sid == "" {
		return t.connect(client)
	}
	if t.sessions[sid] == "" {
		t.sessions[sid] = t.current(client)
	}
	return t.sessions[sid]
}

func (t *easyrtcTrace) event(l *easyrtcLine, data []byte) error {
	e := Entry{Time: at(l.T), From: Client, URL: l.URL}
	switch l.Event {
	case "ws_open", "ws_rejected":
		e.Conn = t.polling(l.Client, l.URL)
		e.Kind, e.Header = Open, header("Cookie", l.Cookie, "Origin", l.Origin)
		if l.Event == "ws_rejected" {
			e.Status, e.Data = l.Status, []byte(l.Body)
			break
		}
		t.sockets[l.Client] = e.Conn
	case "ws_close":
		if l.By == "server" {
			e.From = Server
		}
		e.Conn, e.Kind, e.Code, e.Reason = t.sockets[l.Client], Close, l.Code, l.Reason
		if e.Conn == "" {
			e.Conn = t.current(l.Client)
		}
		delete(t.sockets, l.Client)
	case "http":
		e.Conn, e.Kind, e.Method, e.Header = l.Client+" http", Request, l.Method, header("Cookie", l.Cookie)
	case "http_response":
		e.Conn, e.Kind, e.From, e.Status = l.Client+" http", Response, Server, l.Status
		e.Header = header("Content-Type", l.ContentType, "Set-Cookie", strings.Join(l.SetCookie, ", "))
		e.Method = t.answered(e.Conn, "", e.URL).Method
	default:
		e = Entry{Time: e.Time, Conn: t.current(l.Client), Kind: Note,
			Reason: strings.TrimSpace(l.Event + " " + rest(data, "event", "client", "t"))}
	}
	t.add(e)
	return nil
}

// A galeneTrace reads traces of Galène.
type galeneTrace struct{ *builder }

type galeneLine struct {
	Dir    string          `json:"dir"`
	Client string          `json:"client"`
	T      int64           `json:"t"`
	Msg    json.RawMessage `json:"msg"`
	Raw    string          `json:"raw"`
	Event  string          `json:"event"`
	Close  *struct {
		Code   int    `json:"code"`
		Reason string `json:"reason"`
	} `json:"close"`
}

func (t *galeneTrace) read(data []byte) error {
	var l galeneLine
	if err := jsonx.Unmarshal(data, &l); err != nil {
		return err
	}
	side, err := from(l.Dir)
	if err != nil {
		return err
	}
	e := Entry{Time: at(l.T), Conn: t.current(l.Client), From: side, Kind: Message, Data: []byte(l.Raw)}
	switch {
	case l.Close != nil:
		e.Kind, e.Code, e.Reason, e.Data = Close, l.Close.Code, l.Close.Reason, nil
	case l.Event == "ws-open":
		e.Kind, e.Conn, e.Data = Open, t.connect(l.Client), nil
	case l.Event == "ws-close":
		e.Kind, e.Code, e.Data = Close, 1005, nil
	case l.Event == "binary-frame":
		e.Binary = true
	case l.Event != "":
		e.Kind, e.Reason, e.Data = Note, strings.TrimSpace(l.Event+" "+l.Raw), nil
	case l.Msg != nil:
		e.Data = l.Msg
	default:
		if n := left(l.Raw); n > 0 {
			e.Data, e.Cut = nil, n
		}
	}
	t.add(e)
	return nil
}

// left returns the size of a message that stands in a trace as "<N bytes: ...>", 0 for others.
func left(raw string) int {
	size, _, ok := strings.Cut(strings.TrimPrefix(raw, "<"), " bytes: ")
	n, err := strconv.Atoi(size)
	if !ok || err != nil || n < 0 || !strings.HasPrefix(raw, "<") || !strings.HasSuffix(raw, ">") {
		return 0
	}
	return n
}

// A mediasoupTrace reads traces of mediasoup, whose lines are what protoo carries. It puts
// protoo's envelopes, which are not in the traces, around it again.
type mediasoupTrace struct{ *builder }

type mediasoupLine struct {
	Dir  string          `json:"dir"`
	Peer string          `json:"peer"`
	Kind string          `json:"kind"`
	RID  *int64          `json:"rid"`
	Body json.RawMessage `json:"body"`
}

func (t *mediasoupTrace) read(data []byte) error {
	var l mediasoupLine
	if err := jsonx.Unmarshal(data, &l); err != nil {
		return err
	}
	e := Entry{Conn: l.Peer, Kind: Message}
	id := func() (string, error) {
		if l.RID == nil {
			return "", fmt.Errorf("a %s without rid", l.Kind)
		}
		return strconv.FormatInt(*l.RID, 10), nil
	}
	if l.Body == nil {
		return fmt.Errorf("a %s without body", l.Kind)
	}
	body := string(l.Body)
	rid, err := "", error(nil)
	what := l.Dir + " " + l.Kind
	if what == "s2c error" && l.RID == nil {
		what = "" // of a request that was left out of the trace
	}
	switch what {
	case "c2s request":
		e.From = Client
		rid, err = id()
		e.Data = []byte(`{"request":true,"id":` + rid + `,"method":"mediasoup-request","data":` + body + `}`)
	case "c2s notification":
		e.From = Client
		e.Data = []byte(`{"notification":true,"method":"mediasoup-notification","data":` + body + `}`)
	case "s2c notification":
		e.From = Server
		e.Data = []byte(`{"notification":true,"method":"mediasoup-notification","data":` + body + `}`)
	case "s2c response":
		e.From = Server
		rid, err = id()
		e.Data = []byte(`{"response":true,"id":` + rid + `,"ok":true,"data":` + body + `}`)
	case "s2c error":
		e.From = Server
		if rid, err = id(); err == nil {
			e.Data, err = errorResponse(rid, l.Body)
		}
	default:
		e.Kind, e.Reason = Note, noteOf(l.Dir, l.Kind, l.Body)
	}
	if err != nil {
		return err
	}
	t.add(e)
	return nil
}

// errorResponse returns what the demo sends of an error of JavaScript.
func errorResponse(rid string, body json.RawMessage) ([]byte, error) {
	var b struct {
		Name    string `json:"name"`
		Message string `json:"message"`
		Code    int    `json:"errorCode"`
		Reason  string `json:"errorReason"`
	}
	if err := jsonx.Unmarshal(body, &b); err != nil {
		return nil, err
	}
	if b.Reason == "" {
		b.Code, b.Reason = 500, b.Name+": "+b.Message
	}
	reason, err := jsonx.AppendString(nil, b.Reason)
	if err != nil {
		return nil, err
	}
	const form = `{"response":true,"id":%s,"ok":false,"errorCode":%d,"errorReason":%s}`
	return fmt.Appendf(nil, form, rid, b.Code, reason), nil
}

// noteOf returns the text of a line that was on no wire.
func noteOf(dir, kind string, body json.RawMessage) string {
	var b struct {
		Text string `json:"text"`
	}
	text := string(body)
	if err := jsonx.Unmarshal(body, &b); err == nil && b.Text != "" {
		text = b.Text
	}
	switch {
	case kind == "note":
		return text
	case kind == dir:
		return dir + ": " + text
	}
	return dir + " " + kind + ": " + text
}
