package firefox

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// maxMessage bounds what the browser may say at once, in bytes.
const maxMessage = 16 << 20

// A session is a connection to a browser in WebDriver BiDi. Its methods may be called
// concurrently.
type session struct {
	conn transport.Conn
	done chan struct{} // closed when nothing more comes

	mu    sync.Mutex
	last  int // number of the last command
	calls map[int]chan<- message
	pages map[string]*Page // by the id of their browsing context
}

// A message is what the browser says: the answer to a command, or an event.
type message struct {
	Type    string          `json:"type"` // success, error or event
	ID      int             `json:"id"`
	Result  json.RawMessage `json:"result"`
	Error   string          `json:"error"`
	Message string          `json:"message"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
}

// dial starts a session, and returns it with the product and its version.
func dial(ctx context.Context, url string) (s *session, version string, err error) {
	conn, err := wsconn.Dial(ctx, url, &wsconn.Options{ReadLimit: maxMessage})
	if err != nil {
		return nil, "", err
	}
	s = &session{
		conn: conn, done: make(chan struct{}), calls: make(map[int]chan<- message), pages: make(map[string]*Page),
	}
	go func() {
		defer close(s.done)
		s.read()
	}()
	var started struct {
		Capabilities struct {
			BrowserName    string `json:"browserName"`
			BrowserVersion string `json:"browserVersion"`
		} `json:"capabilities"`
	}
	err = s.call(ctx, "session.new", map[string]any{"capabilities": struct{}{}}, &started)
	if err == nil {
		err = s.call(ctx, "session.subscribe", map[string]any{"events": []string{"log.entryAdded"}}, nil)
	}
	if err != nil {
		s.close()
		return nil, "", err
	}
	return s, started.Capabilities.BrowserName + "/" + started.Capabilities.BrowserVersion, nil
}

// close ends the connection.
func (s *session) close() {
	_ = s.conn.Close(transport.StatusAbnormal, "") // a browser that hangs does not answer
	<-s.done
}

// read hands out what the browser says, until it says nothing more.
func (s *session) read() {
	var data []byte
	for {
		var err error
		if _, data, err = s.conn.Read(data); err != nil {
			return
		}
		var m message
		if json.Unmarshal(data, &m) != nil {
			continue
		}
		switch {
		case m.Type == "event":
			s.logged(&m)
		default:
			s.mu.Lock()
			answer := s.calls[m.ID]
			delete(s.calls, m.ID)
			s.mu.Unlock()
			if answer != nil {
				answer <- m
			}
		}
	}
}

// logged gives an entry of the log to its page.
func (s *session) logged(m *message) {
	var entry logEntry
	if m.Method != "log.entryAdded" || json.Unmarshal(m.Params, &entry) != nil {
		return
	}
	s.mu.Lock()
	page := s.pages[entry.Source.Context]
	s.mu.Unlock()
	if page != nil {
		page.log(entry)
	}
}

// send sends a command, to which the answer is given later, and returns its number.
func (s *session) send(method string, params any, answer chan<- message) (id int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	s.calls[s.last] = answer
	command, err := json.Marshal(map[string]any{"id": s.last, "method": method, "params": params})
	if err == nil {
		err = s.conn.Write(transport.Text, command)
	}
	return s.last, err
}

// call executes a command, and puts its result where result points to unless that is nil.
func (s *session) call(ctx context.Context, method string, params, result any) error {
	answer := make(chan message, 1)
	id, err := s.send(method, params, answer)
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.calls, id)
	}()
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	var m message
	select {
	case m = <-answer:
	case <-s.done:
		select {
		case m = <-answer: // the last thing it said
		default:
			return fmt.Errorf("%s: the browser has ended", method)
		}
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
	if m.Type != "success" {
		return fmt.Errorf("%s: %s: %s", method, m.Error, m.Message)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(m.Result, result)
}
