package cuttlefishhttp

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// openPolled opens a polled connection and answers when the device's device_info is
// there, which takes as long as the server lets clients wait for their device.
func (h *Handler) openPolled(w http.ResponseWriter, r *http.Request) {
	body, ok := h.body(w, r)
	if !ok {
		return
	}
	deviceID, err := requestedDevice(body)
	if err != nil {
		http.Error(w, "Invalid request: "+err.Error(), http.StatusBadRequest)
		return
	}
	if !h.serves(deviceID) {
		http.Error(w, textNoDevice, http.StatusNotFound)
		return
	}
	leave, ok := h.opts.WebSocket.Gate.Enter(w, r)
	if !ok {
		return
	}
	box, ok := h.serve(r, deviceID, leave)
	if !ok {
		leave()
		http.Error(w, "Too many connections", http.StatusServiceUnavailable)
		return
	}
	info, err := box.deviceInfo(r.Context())
	if err == nil {
		reply := append([]byte(`{"connection_id":"`), box.id...)
		reply = append(append(reply, `","device_info":`...), info...)
		replyJSON(w, append(reply, '}'))
		return
	}
	// A client that went away has nothing to read its messages with.
	box.end(&transport.CloseError{Code: transport.StatusGoingAway})
	h.refusePolled(w, deviceID, err)
}

// refusePolled answers a client that the server has not let in.
func (h *Handler) refusePolled(w http.ResponseWriter, deviceID string, err error) {
	refusal, ok := errors.AsType[*refusedError](err)
	switch {
	case !ok:
		http.Error(w, "Connection ended", http.StatusServiceUnavailable)
	case refusal.code == transport.StatusTryAgainLater:
		http.Error(w, refusal.text, http.StatusServiceUnavailable)
	case !h.registered(deviceID):
		http.Error(w, textNoDevice, http.StatusNotFound)
	default:
		http.Error(w, refusal.text, http.StatusForbidden)
	}
}

func (h *Handler) registered(deviceID string) bool {
	_, ok := h.srv.Device(deviceID)
	return ok
}

var (
	errNotAnObject = errors.New("body is not a JSON object")
	errDeviceID    = errors.New("device_id is not a string")
)

// requestedDevice reads the body that opens a polled connection. Without a device_id
// it asks for a device that does not exist.
func requestedDevice(body []byte) (string, error) {
	o, err := jsonx.Scan(body)
	if err != nil {
		return "", errNotAnObject
	}
	defer o.Free()
	value, ok := o.Get("device_id")
	if !ok || jsonx.IsNull(value) {
		return "", nil
	}
	id, ok := jsonx.Text(value)
	if !ok {
		return "", errDeviceID
	}
	return string(id), nil
}

// serve makes a polled connection of r and lets the server serve it; leave is called after
// its end. It returns false when there may be no more of them.
func (h *Handler) serve(r *http.Request, deviceID string, leave func()) (*mailbox, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.opts.PolledConns > 0 && len(h.polled) >= h.opts.PolledConns {
		return nil, false
	}
	box := newMailbox(newConnectionID(), &h.opts)
	h.polled[box.id] = box
	ctx := wsconn.WithRequest(r)
	h.serving.Go(func() {
		defer leave()
		transport.Serve(ctx, box, h.opts.Logger, func(ctx context.Context, c transport.Conn) error {
			return h.srv.ServeOperatorClient(ctx, c, deviceID)
		})
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.polled, box.id)
	})
	return box, true
}

// mailbox returns the polled connection that a request names, or answers 404.
func (h *Handler) mailbox(w http.ResponseWriter, r *http.Request) (*mailbox, bool) {
	h.mu.Lock()
	box, ok := h.polled[r.PathValue("connection")]
	h.mu.Unlock()
	if !ok || !box.touch() {
		http.NotFound(w, r)
		return nil, false
	}
	return box, true
}

// forward hands a payload of a polled client to the server. The answer says that the
// server has it, not that the device does.
func (h *Handler) forward(w http.ResponseWriter, r *http.Request) {
	box, ok := h.mailbox(w, r)
	if !ok {
		return
	}
	body, ok := h.body(w, r)
	if !ok {
		return
	}
	payload, err := forwardedPayload(body)
	if err != nil {
		http.Error(w, "Invalid request: "+err.Error(), http.StatusBadRequest)
		return
	}
	switch err := box.deliver(r.Context(), payload); {
	case err == nil:
		replyJSON(w, []byte(`"ok"`))
	case errors.Is(err, errBusy):
		http.Error(w, "Too many messages", http.StatusServiceUnavailable)
	default:
		http.Error(w, "Device disconnected", http.StatusNotFound)
	}
}

var errPayload = errors.New("payload is neither an object nor null")

// forwardedPayload reads the body of a forward. A missing payload counts as null.
func forwardedPayload(body []byte) ([]byte, error) {
	o, err := jsonx.Scan(body)
	if err != nil {
		return nil, errNotAnObject
	}
	defer o.Free()
	payload, ok := o.Get("payload")
	if !ok {
		return []byte("null"), nil
	}
	if !jsonx.IsObject(payload) && !jsonx.IsNull(payload) {
		return nil, errPayload
	}
	return bytes.Clone(payload), nil
}

// messages answers with what the device has sent, from message number start on. It
// does not wait for more.
func (h *Handler) messages(w http.ResponseWriter, r *http.Request) {
	box, ok := h.mailbox(w, r)
	if !ok {
		return
	}
	start, err := number(r, "start", 0)
	if err != nil || start < 0 {
		http.Error(w, "Invalid value for start field", http.StatusBadRequest)
		return
	}
	count, err := number(r, "count", -1)
	if err != nil {
		http.Error(w, "Invalid value for count field", http.StatusBadRequest)
		return
	}
	list, ok := box.from(start, count)
	if !ok {
		http.Error(w, "Invalid value for start field", http.StatusBadRequest)
		return
	}
	replyJSON(w, append(append([]byte{'['}, bytes.Join(list, []byte{','})...), ']'))
}

// number returns a number of the query, or absent when it is not there.
func number(r *http.Request, name string, absent int) (int, error) {
	value := r.URL.Query().Get(name)
	if value == "" {
		return absent, nil
	}
	return strconv.Atoi(value)
}

// closePolled ends a polled connection whose client says goodbye. The operator has no
// such request.
func (h *Handler) closePolled(w http.ResponseWriter, r *http.Request) {
	box, ok := h.mailbox(w, r)
	if !ok {
		return
	}
	box.end(&transport.CloseError{Code: transport.StatusNormal})
	w.WriteHeader(http.StatusNoContent)
}

// newConnectionID returns 64 random letters and digits, the form of the operator's.
// Who knows the id of a connection can use it, so it must not be guessed.
func newConnectionID() string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	const fair = 256 - 256%len(letters)
	id := make([]byte, 0, 64)
	var random [96]byte
	for len(id) < cap(id) {
		_, _ = rand.Read(random[:]) // never fails
		for _, b := range random {
			if int(b) < fair && len(id) < cap(id) {
				id = append(id, letters[int(b)%len(letters)])
			}
		}
	}
	return string(id)
}
