package cuttlefishhttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/transport"
)

const (
	// requestTimeout bounds a request that the server answers at once.
	requestTimeout = 15 * time.Second
	// answerLimit is the size in bytes of the largest answer that a client reads. An
	// answer to a poll holds several messages.
	answerLimit = 4 * transport.DefaultReadLimit
)

// An api makes the requests of a client.
type api struct {
	base   *url.URL
	header http.Header
	client *http.Client
}

// url returns the address of an endpoint.
func (a *api) url(path ...string) string {
	escaped := make([]string, len(path))
	for i, segment := range path {
		escaped[i] = url.PathEscape(segment)
	}
	return a.base.JoinPath(escaped...).String()
}

// An httpError is an answer other than 200.
type httpError struct {
	status int
	text   string
}

func (e *httpError) Error() string {
	return fmt.Sprintf("server answered %d %s: %s", e.status, http.StatusText(e.status), e.text)
}

// do makes a request and returns the body of the answer. The error is an [*httpError],
// a [*cuttlefish.Error] for a refusal, or why there is no answer.
func (a *api) do(ctx context.Context, method, address string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if a.header != nil {
		req.Header = a.header.Clone()
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit+1))
	switch {
	case err != nil:
		return nil, err
	case len(answer) > answerLimit:
		return nil, transport.ErrMessageTooBig
	case resp.StatusCode/100 == 2:
		return answer, nil
	}
	if refusal := refusalOf(resp.StatusCode, answer); refusal != nil {
		return nil, refusal
	}
	return nil, &httpError{resp.StatusCode, textOf(answer)}
}

// refusalOf returns what an answer says when it is a refusal by the signaling server,
// not by something else on the way to it.
func refusalOf(status int, answer []byte) error {
	text := textOf(answer)
	if status == http.StatusForbidden || status == http.StatusNotFound && text == textNoDevice {
		return &cuttlefish.Error{Text: text}
	}
	return nil
}

// isUnknownDevice tells the refusal that no other way would change. One with 403 may
// come from a proxy that lets no WebSocket through.
func isUnknownDevice(err error) bool {
	e, ok := errors.AsType[*cuttlefish.Error](err)
	return ok && e.Text == textNoDevice
}

// textOf returns the text of an answer: the operator's are plain, those of the Host
// Orchestrator before it objects with an error.
func textOf(answer []byte) string {
	const longest = 256
	if m, err := cuttlefish.Decode(answer); err == nil {
		if e, ok := m.(*cuttlefish.Error); ok {
			return e.Text
		}
	}
	answer = answer[:min(len(answer), longest)]
	return strings.TrimSpace(strings.ToValidUTF8(string(answer), ""))
}

var errConfig = errors.New("answer to /infra_config is no config")

// config fetches the config and returns it as a message. The Cloud Orchestrator's has
// no message_type.
func (a *api) config(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	answer, err := a.do(ctx, http.MethodGet, a.url("infra_config"), nil)
	if err != nil {
		return nil, err
	}
	o, err := jsonx.Scan(answer)
	if err != nil {
		return nil, errConfig
	}
	defer o.Free()
	config := new(cuttlefish.Config)
	if err := o.Decode(config, "message_type", false); err != nil {
		return nil, errConfig
	}
	return cuttlefish.Encode(config)
}

var errPolled = errors.New("answer to /polled_connections names no connection")

// openPolled opens a polled connection. A server that lets clients wait for their
// device answers as late as the device comes.
func (a *api) openPolled(ctx context.Context, deviceID string) (id string, info json.RawMessage, err error) {
	body, err := json.Marshal(map[string]string{"device_id": deviceID})
	if err != nil {
		return "", nil, err
	}
	answer, err := a.do(ctx, http.MethodPost, a.url("polled_connections"), body)
	if err != nil {
		return "", nil, err
	}
	o, err := jsonx.Scan(answer)
	if err != nil {
		return "", nil, errPolled
	}
	defer o.Free()
	name, ok := o.Text("connection_id")
	if !ok || len(name) == 0 {
		return "", nil, errPolled
	}
	info, ok = o.Get("device_info")
	if !ok {
		info = json.RawMessage("null")
	}
	return string(name), bytes.Clone(info), nil
}
