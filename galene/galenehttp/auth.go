package galenehttp

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"

	"github.com/rtcsignal/rtcsignal/internal/httpbody"
	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// authLimit is the size in bytes of the largest request to an authorisation server.
const authLimit = 64 << 10

// Authorize decides who may join the group at location, which is the address of a page that
// a client claims to show: a server must know it, see [ParseGroupURL]. It returns a token
// that leads into the group, see package galenejwt; ok is false to refuse the user. With ok
// and no token the user joins with the password. It is called concurrently.
type Authorize func(ctx context.Context, location, username, password string) (token string, ok bool, err error)

// AuthHandler returns an authorisation server, whose address is a group's AuthServer. It
// logs the errors of authorize, which the user does not see. A nil logger discards.
//
// Pages of every origin may ask it: it takes no cookies, and what it needs to know is in
// the request. How often somebody may try is left to authorize, or to a handler before
// this one.
func AuthHandler(authorize Authorize, logger *slog.Logger) http.Handler {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &authHandler{authorize, logger}
}

type authHandler struct {
	authorize Authorize
	log       *slog.Logger
}

func (h *authHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Access-Control-Allow-Origin", "*")
	header.Set("Cache-Control", "no-store")
	switch r.Method {
	case http.MethodPost:
	case http.MethodOptions:
		header.Set("Access-Control-Allow-Methods", "POST, OPTIONS")
		header.Set("Access-Control-Allow-Headers", "Content-Type")
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		notAllowed(w, "POST, OPTIONS")
		return
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		header.Set("Accept", "application/json")
		http.Error(w, "bad content type", http.StatusUnsupportedMediaType)
		return
	}
	body, ok := readBody(w, r, authLimit)
	if !ok {
		return
	}
	var request authRequest
	if err := jsonx.Unmarshal(body, &request); err != nil || request.Location == "" {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	token, ok, err := h.authorize(r.Context(), request.Location, request.Username, request.Password)
	switch {
	case err != nil:
		h.log.ErrorContext(r.Context(), "galenehttp: authorisation failed", "error", err)
		http.Error(w, "Internal server error", http.StatusInternalServerError)
	case !ok:
		http.Error(w, "not authorised", http.StatusUnauthorized)
	case token == "":
		w.WriteHeader(http.StatusNoContent)
	default:
		header.Set("Content-Type", "application/jwt")
		_, _ = io.WriteString(w, token)
	}
}

// readBody reads the body of a request, or answers it and returns false.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		http.Error(w, "Request body too large", http.StatusRequestEntityTooLarge)
		return nil, false
	}
	if httpbody.IsTimeout(err) {
		http.Error(w, "Request body too slow", http.StatusRequestTimeout)
		return nil, false
	}
	if err != nil {
		http.Error(w, "Request body incomplete", http.StatusBadRequest)
		return nil, false
	}
	return body, true
}
