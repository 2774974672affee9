package galenehttp

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

const (
	// whipUsername is the name of those who publish over HTTP, unless their token has one.
	whipUsername = "whip"
	// answerTimeout is how long an offer waits for its answer.
	answerTimeout = 10 * time.Second
	// quiet is how long after the last candidate an answer counts as complete.
	quiet = 500 * time.Millisecond
	// sdpLimit is the size in bytes of the largest offer.
	sdpLimit = 1 << 20
)

// A whipSession is a stream that is published over HTTP, as a client of the server over a
// pipe.
type whipSession struct {
	id, group, token string
	stream           string
	client           *galene.Client
	cancel           context.CancelFunc
	events           chan galene.Message // about the stream; dropped while nobody negotiates
	left             chan struct{}       // closed when the member has left its group

	mu    sync.Mutex // held while the session negotiates
	offer description
	etag  string
}

// whip serves the endpoint of a group, and with rest the resource of a session.
func (h *Handler) whip(w http.ResponseWriter, r *http.Request, group, rest string) {
	w.Header().Set("Vary", "Origin")
	if origin := r.Header.Get("Origin"); origin != "" && h.allowsOrigin(r, origin) {
		w.Header().Set("Access-Control-Allow-Origin", origin)
	}
	if rest != "" {
		h.whipResource(w, r, group, strings.TrimPrefix(rest, "/"))
		return
	}
	status, err := h.srv.Status(r.Context(), group)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if status.Redirect != "" {
		u, err := resolve(h.baseURL(r), status.Redirect)
		if err != nil {
			h.fail(w, r, err)
			return
		}
		http.Redirect(w, r, u.JoinPath(".whip").String(), http.StatusPermanentRedirect)
		return
	}
	switch r.Method {
	case http.MethodOptions:
		w.Header().Set("Access-Control-Allow-Methods", "OPTIONS, POST")
		w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
		w.Header().Set("Access-Control-Expose-Headers", "Link")
	case http.MethodPost:
		h.whipPost(w, r, group)
	default:
		notAllowed(w, "OPTIONS, POST")
	}
}

// allowsOrigin applies the origin policy of the WebSocket.
func (h *Handler) allowsOrigin(r *http.Request, origin string) bool {
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	if strings.EqualFold(u.Host, r.Host) {
		return true
	}
	o := h.opts.WebSocket
	if o == nil || o.AllowAnyOrigin {
		return o != nil
	}
	for _, pattern := range o.OriginPatterns {
		subject := u.Host
		if strings.Contains(pattern, "://") {
			subject = u.Scheme + "://" + u.Host
		}
		if ok, err := path.Match(strings.ToLower(pattern), strings.ToLower(subject)); ok && err == nil {
			return true
		}
	}
	return false
}

// content reads the body of a request if it is of a type, or answers the request.
func content(w http.ResponseWriter, r *http.Request, mediaType string) (string, bool) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != mediaType {
		w.Header().Set("Accept", mediaType)
		http.Error(w, "bad content type", http.StatusUnsupportedMediaType)
		return "", false
	}
	body, ok := readBody(w, r, sdpLimit)
	return string(body), ok
}

// bearer returns the token of a request, or "".
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

var (
	errForbidden = &galene.Error{Text: "Forbidden"}
	errClosed    = errors.New("the handler is closed")
	errRefused   = errors.New("the offer was refused")
	errNoAnswer  = errors.New("no answer in time")
)

func (h *Handler) whipPost(w http.ResponseWriter, r *http.Request, group string) {
	body, ok := content(w, r, typeSDP)
	if !ok {
		return
	}
	offer, err := parseSDP(body)
	if err != nil {
		http.Error(w, "bad offer", http.StatusBadRequest)
		return
	}
	s := &whipSession{
		id: rand.Text(), group: group, token: bearer(r), stream: galene.NewID(),
		events: make(chan galene.Message, maxCandidates), left: make(chan struct{}),
	}
	leave, ok := h.gate.Enter(w, r)
	if !ok {
		return
	}
	answer, err := h.open(r, s, offer, leave)
	if err != nil {
		h.whipFailed(w, r, err)
		return
	}
	header := w.Header()
	header.Set("Location", (&url.URL{Path: h.prefix() + groupPrefix + group + "/.whip/" + s.id}).EscapedPath())
	header.Set("Access-Control-Expose-Headers", "Location, Content-Type, Link, ETag")
	if c, err := s.client.RTCConfiguration(); err == nil {
		header["Link"] = iceLinks(c.ICEServers)
	}
	header.Set("Content-Type", typeSDP)
	header.Set("Etag", s.etag)
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write([]byte(answer.String()))
}

// whipFailed answers a request that made no session.
func (h *Handler) whipFailed(w http.ResponseWriter, r *http.Request, err error) {
	refusal, ok := errors.AsType[*galene.Error](err)
	closed, _ := errors.AsType[*transport.CloseError](err)
	switch {
	case closed != nil && closed.Code == transport.StatusTryAgainLater:
		http.Error(w, "too many connections", http.StatusServiceUnavailable)
	case errors.Is(err, galene.ErrNotAuthorised):
		w.Header().Set("Www-Authenticate", "Bearer")
		http.Error(w, "not authorised", http.StatusUnauthorized)
	case ok && refusal.Redirect == "" && refusal != galene.ErrInternal:
		http.Error(w, refusal.Text, http.StatusForbidden)
	case errors.Is(err, errClosed):
		http.Error(w, "closed", http.StatusServiceUnavailable)
	default:
		h.fail(w, r, err)
	}
}

// open makes a session: a member of the group whose offer is answered. leave is called after
// its end.
func (h *Handler) open(r *http.Request, s *whipSession, offer description, leave func()) (description, error) {
	ctx, cancel := context.WithCancel(wsconn.WithRequest(r))
	s.cancel = cancel
	near, far := transport.Pipe()
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		cancel()
		leave()
		return nil, errClosed
	}
	h.sessions[s.id] = s
	h.serving.Go(func() {
		defer close(s.left)
		defer leave()
		transport.Serve(ctx, far, h.log, h.srv.ServeProgram)
	})
	h.mu.Unlock()

	answer, err := h.negotiated(r.Context(), ctx, near, s, offer)
	if err != nil {
		cancel()
		if s.client == nil {
			_ = near.Close(transport.StatusNormal, "")
			h.remove(s)
		}
		return nil, err
	}
	return answer, nil
}

// negotiated joins and sends the first offer. It leaves s.client nil if nobody reads for
// the session.
func (h *Handler) negotiated(
	ctx, session context.Context, conn transport.Conn, s *whipSession, offer description,
) (description, error) {
	client, err := galene.Connect(ctx, conn, nil)
	if err != nil {
		return nil, err
	}
	username := whipUsername
	join := &galene.Join{Group: s.group, Username: &username, Token: s.token}
	joined, err := client.Join(ctx, join)
	if err == nil && !joined.Permissions.Has(galene.PermissionPresent) {
		err = errForbidden
	}
	if err != nil {
		_ = client.Close()
		return nil, err
	}
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		_ = client.Close()
		return nil, errClosed
	}
	s.client = client
	h.serving.Go(func() {
		s.run(session)
		h.remove(s)
	})
	h.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.negotiate(ctx, offer)
}

func (h *Handler) remove(s *whipSession) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, s.id)
}

// run reads what comes for the session until it ends.
func (s *whipSession) run(ctx context.Context) {
	defer s.cancel()
	defer s.client.Close()
	for m, err := range s.client.Messages(ctx) {
		if err != nil {
			return
		}
		switch m := m.(type) {
		case *galene.Answer:
			s.event(m.ID, m)
		case *galene.ICE:
			s.event(m.ID, m)
		case *galene.Abort:
			if m.ID == s.stream {
				return
			}
		}
	}
}

func (s *whipSession) event(stream string, m galene.Message) {
	if stream != s.stream {
		return
	}
	select {
	case s.events <- m:
	default:
	}
}

// negotiate sends an offer and returns the answer with the candidates that belong to it.
// Called with mu held.
func (s *whipSession) negotiate(ctx context.Context, offer description) (description, error) {
	for len(s.events) > 0 {
		<-s.events
	}
	if err := s.client.Send(&galene.Offer{ID: s.stream, SDP: offer.String()}); err != nil {
		return nil, err
	}
	timeout := time.NewTimer(answerTimeout)
	defer timeout.Stop()
	var answer description
	var candidates []galene.ICECandidateInit
	for answer == nil || !complete(answer) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.client.Done():
			return nil, errRefused
		case <-timeout.C:
			if answer == nil {
				return nil, errNoAnswer
			}
			return s.finish(offer, answer, candidates), nil
		case m := <-s.events:
			switch m := m.(type) {
			case *galene.Answer:
				d, err := parseSDP(m.SDP)
				if err != nil {
					return nil, err
				}
				answer = d
			case *galene.ICE:
				if c, err := m.Init(); err == nil && len(candidates) < maxCandidates {
					candidates = append(candidates, c)
				}
			}
			if answer != nil {
				timeout.Reset(quiet)
			}
		}
	}
	return s.finish(offer, answer, candidates), nil
}

// complete reports whether an answer says that it has all its candidates.
func complete(answer description) bool {
	for _, s := range answer {
		if s.has("end-of-candidates") {
			return true
		}
	}
	return false
}

// finish adds the candidates to an answer and takes note of the offer.
func (s *whipSession) finish(offer, answer description, candidates []galene.ICECandidateInit) description {
	ufrag := answer.attribute("ice-ufrag")
	for _, c := range candidates {
		if c.UsernameFragment == nil || *c.UsernameFragment == ufrag { // and not of the ICE before a restart
			answer.add(c)
		}
	}
	s.offer, s.etag = offer, `"`+rand.Text()+`"`
	return answer
}

func (h *Handler) whipResource(w http.ResponseWriter, r *http.Request, group, id string) {
	h.mu.Lock()
	s, ok := h.sessions[id]
	h.mu.Unlock()
	if !ok || s.group != group {
		h.notFound(w, r)
		return
	}
	if r.Method == http.MethodOptions {
		w.Header().Set("Access-Control-Allow-Methods", "OPTIONS, DELETE, PATCH")
		w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match, If-None-Match")
		return
	}
	if subtle.ConstantTimeCompare([]byte(bearer(r)), []byte(s.token)) != 1 && s.token != "" {
		http.Error(w, "Forbidden", http.StatusForbidden)
		return
	}
	if r.Method != http.MethodDelete && r.Method != http.MethodPatch {
		notAllowed(w, "OPTIONS, DELETE, PATCH")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	yes, no := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
	if s.etag == "" || yes != "" && !matches(yes, s.etag) || no != "" && matches(no, s.etag) {
		w.WriteHeader(http.StatusPreconditionFailed)
		return
	}
	if r.Method == http.MethodDelete {
		s.cancel()
		_ = s.client.Close()
		h.remove(s)
		// Who is told that the resource is gone may count on it.
		select {
		case <-s.left:
		case <-r.Context().Done():
		}
		return
	}
	h.whipPatch(w, r, s)
}

// whipPatch takes candidates, or with other credentials of ICE an ICE restart.
func (h *Handler) whipPatch(w http.ResponseWriter, r *http.Request, s *whipSession) {
	body, ok := content(w, r, typeFragment)
	if !ok {
		return
	}
	fragment, err := parseDescription(body)
	ufrag, pwd := fragment.attribute("ice-ufrag"), fragment.attribute("ice-pwd")
	if err != nil || ufrag == "" || pwd == "" {
		http.Error(w, "bad fragment", http.StatusBadRequest)
		return
	}
	if ufrag == s.offer.attribute("ice-ufrag") && pwd == s.offer.attribute("ice-pwd") {
		for _, c := range fragment.candidates() {
			if err := s.client.Send(galene.NewICE(s.stream, c)); err != nil {
				h.fail(w, r, err)
				return
			}
		}
		w.WriteHeader(http.StatusNoContent)
		return
	}
	answer, err := s.negotiate(r.Context(), s.offer.restarted(fragment))
	if err != nil {
		h.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", typeFragment)
	w.Header().Set("Etag", s.etag)
	_, _ = w.Write([]byte(answer.fragment().String()))
}
