package cuttlefishhttp

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"time"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// serverConnector is the part of a device's page that belongs to the server.
//
//go:embed server_connector.js
var serverConnector []byte

const serverConnectorPath = "js/server_connector.js"

// infraConfig answers what the config message says in the document's dialect.
func (h *Handler) infraConfig(w http.ResponseWriter, r *http.Request) {
	body, err := h.config(r)
	if refusal, ok := errors.AsType[*cuttlefish.Error](err); ok {
		http.Error(w, refusal.Text, http.StatusForbidden)
		return
	}
	if err != nil {
		h.opts.Logger.ErrorContext(r.Context(), "cuttlefishhttp: no config", "remote", r.RemoteAddr, "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	replyJSON(w, body)
}

func (h *Handler) config(r *http.Request) ([]byte, error) {
	config := &cuttlefish.Config{ICEServers: h.srv.Options().ICEServers}
	if h.opts.Config != nil {
		var err error
		if config, err = h.opts.Config(r); err != nil {
			return nil, err
		}
	}
	if err := config.Validate(); err != nil {
		return nil, err
	}
	return cuttlefish.Encode(config)
}

// listDevices answers with the devices that are registered. They are in no group and
// have no owner, so either filter of the operator leaves none.
func (h *Handler) listDevices(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	list := []byte{'['}
	if query.Get("groupId") == "" && query.Get("owner") == "" {
		for e := range h.srv.Devices() {
			if len(list) > 1 {
				list = append(list, ',')
			}
			list = append(appendDescriptor(list, e), '}')
		}
	}
	replyJSON(w, append(list, ']'))
}

func (h *Handler) describeDevice(w http.ResponseWriter, r *http.Request) {
	e, ok := h.srv.Device(r.PathValue("id"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	info := e.Info
	if len(info) == 0 {
		info = json.RawMessage("{}")
	}
	reply := append(appendDescriptor(nil, e), `,"registration_info":`...)
	replyJSON(w, append(append(reply, info...), '}'))
}

// appendDescriptor appends the description of a device, without the closing brace.
func appendDescriptor(dst []byte, e cuttlefish.DeviceEntry) []byte {
	dst = append(dst, `{"device_id":`...)
	dst, _ = jsonx.AppendString(dst, e.ID) // registered, so it is valid UTF-8
	dst = append(dst, `,"group_name":"","adb_port":`...)
	return strconv.AppendInt(dst, adbPort(e.Info), 10)
}

// adbPort returns the port that a device has registered, 0 when it has none.
func adbPort(info json.RawMessage) int64 {
	if !jsonx.IsObject(info) {
		return 0
	}
	value, ok := jsonx.Peek(info, "adb_port")
	if !ok {
		return 0
	}
	port, err := jsonx.Int(value)
	if err != nil {
		return 0
	}
	return port
}

// files serves the page of a device.
func (h *Handler) files(w http.ResponseWriter, r *http.Request) {
	id, path := r.PathValue("id"), r.PathValue("path")
	if path == "" || !h.serves(id) {
		http.NotFound(w, r)
		return
	}
	if path == serverConnectorPath {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		w.Header().Set("Cache-Control", "no-cache")
		http.ServeContent(w, r, path, time.Time{}, bytes.NewReader(serverConnector))
		return
	}
	if files := h.filesOf(id); files != nil {
		below := r.Clone(r.Context())
		below.URL.Path, below.URL.RawPath = "/"+path, ""
		files.ServeHTTP(w, below)
		return
	}
	http.NotFound(w, r)
}

func (h *Handler) filesOf(deviceID string) http.Handler {
	if h.opts.Files != nil {
		if files := h.opts.Files(deviceID); files != nil {
			return files
		}
	}
	e, ok := h.srv.Device(deviceID)
	if !h.opts.ProxyFiles || !ok {
		return nil
	}
	target := &url.URL{Scheme: "http", Host: "127.0.0.1:" + strconv.Itoa(e.Port)}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			// What the visitor proves to this server is not the device's to know.
			r.Out.Header.Del("Cookie")
			r.Out.Header.Del("Authorization")
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			h.opts.Logger.InfoContext(r.Context(), "cuttlefishhttp: device serves no file", "device", deviceID, "error", err)
			w.WriteHeader(http.StatusBadGateway)
		},
	}
}
