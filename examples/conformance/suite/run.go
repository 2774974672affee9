package suite

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The times of [Options].
const (
	DefaultTimeout  = 3 * time.Second
	DefaultQuiet    = 300 * time.Millisecond
	DefaultParallel = 8
)

// Options of a run.
type Options struct {
	Timeout  time.Duration               // for what must come; zero means [DefaultTimeout]
	Quiet    time.Duration               // after which nothing comes, or more if it is slow; zero means [DefaultQuiet]
	Parallel int                         // cases at a time; zero means [DefaultParallel]
	Choose   func(*Case) bool            // nil: all cases
	Done     func(number int, r *Result) // hears of each case when it is over, in no order; may be nil
}

// A Verdict is what became of a case.
type Verdict string

// The verdicts.
const (
	Passed  Verdict = "passed"  // the server does what the document says
	Known   Verdict = "known"   // it does what a real server does, which is not what the document says
	Failed  Verdict = "failed"  // it does what nobody else does
	Skipped Verdict = "skipped" // it was not asked
)

// A Result is what became of a case.
type Result struct {
	Name    string        `json:"name"`
	Topic   string        `json:"topic"`
	Verdict Verdict       `json:"verdict"`
	Like    []string      `json:"like,omitempty"`    // the references whose behaviour it was
	Why     string        `json:"why,omitempty"`     // a known difference is there, or why the case was skipped
	Differs []Difference  `json:"differs,omitempty"` // from the document or, if nobody does the like, from all
	Took    time.Duration `json:"took_ns"`
}

// A Difference is where a server has left a reference.
type Difference struct {
	References []string `json:"references"` // who would have said what was wanted
	Line       int      `json:"line"`       // of the file of cases
	After      string   `json:"after"`      // the act
	Want       []string `json:"want"`
	Got        []string `json:"got"`
}

// Run plays all cases. Its error is that of ctx.
func Run(ctx context.Context, p *Protocol, server *Server, opts *Options) ([]*Result, error) {
	o := Options{}
	if opts != nil {
		o = *opts
	}
	o.Timeout = orDefault(o.Timeout, DefaultTimeout)
	o.Quiet = orDefault(o.Quiet, DefaultQuiet)
	o.Parallel = orDefault(o.Parallel, DefaultParallel)
	var chosen []*Case
	for _, c := range p.Cases {
		if o.Choose == nil || o.Choose(c) {
			chosen = append(chosen, c)
		}
	}
	results := make([]*Result, len(chosen))
	places := make(chan struct{}, o.Parallel)
	var playing sync.WaitGroup
	var mu sync.Mutex // of Done
	for i, c := range chosen {
		places <- struct{}{}
		playing.Go(func() {
			defer func() { <-places }()
			began := time.Now()
			g := &game{Case: c, protocol: p, server: server, opts: &o, peers: make(map[string]*player)}
			r := g.play(ctx)
			r.Took = time.Since(began)
			results[i] = r
			if o.Done != nil {
				mu.Lock()
				defer mu.Unlock()
				o.Done(i+1, r)
			}
		})
	}
	playing.Wait()
	return results, ctx.Err()
}

func orDefault[T ~int | ~int64](v, fallback T) T {
	if v <= 0 {
		return fallback
	}
	return v
}

// maxBig is the longest text that a case asks for.
const maxBig = 16 << 20

// A game is a case that is being played.
type game struct {
	*Case
	protocol *Protocol
	server   *Server
	opts     *Options
	peers    map[string]*player
	refused  []happened // by the act that is being played
	events   chan happened
	played   sync.WaitGroup
	live     []*follower
	left     []Difference  // by those who are no longer live, in that order
	slowest  time.Duration // that the server has taken so far
}

// A player is a peer in a game.
type player struct {
	Peer
	over bool // refused, or closed by either side: what it does now has no effect
}

// happened is an event of a peer.
type happened struct {
	peer string
	Event
}

// A follower is a reference that the server has not left so far.
type follower struct {
	reference string
	values    values
}

func (g *game) play(ctx context.Context) *Result {
	r := &Result{Name: g.Name, Topic: g.Topic}
	var missing []string
	for _, name := range g.needs {
		if _, ok := g.server.Params[name]; !ok && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		r.Verdict, r.Why = Skipped, "needs "+strings.Join(missing, ", ")
		return r
	}
	ctx, cancel := context.WithCancel(ctx)
	defer g.end()
	defer cancel()
	g.events = make(chan happened) // what nobody has asked for yet waits at the server, however much it is
	for _, ref := range g.protocol.References {
		if g.has(ref.Name) {
			given := make(values)
			for name, data := range g.protocol.Values {
				value, err := decode(data)
				if err != nil {
					panic(err) // a mistake of the program's
				}
				given[name] = value
			}
			for name, value := range g.server.Params {
				given[name] = value
			}
			g.live = append(g.live, &follower{ref.Name, given})
		}
	}
	for i := range g.acts {
		a := &g.acts[i]
		if err := g.do(ctx, a); err != nil {
			r.Verdict, r.Why = Failed, err.Error()
			return r
		}
		got := g.follow(ctx, a, i == len(g.acts)-1)
		if g.optional && i == 1 && len(got) == 1 && got[0].Refused != 0 && !g.expects(a, got[0]) {
			r.Verdict, r.Why = Skipped, "not offered"
			return r
		}
		if len(g.live) == 0 {
			r.Verdict, r.Differs = Failed, g.last()
			return r
		}
	}
	for _, f := range g.live {
		r.Like = append(r.Like, f.reference)
	}
	switch {
	case slices.Contains(r.Like, Document) || !g.has(Document):
		r.Verdict = Passed
	default:
		r.Verdict, r.Why = Known, g.why[r.Like[0]]
		for _, d := range g.left {
			if slices.Contains(d.References, Document) {
				r.Differs = append(r.Differs, d)
			}
		}
	}
	return r
}

// last returns the differences from those who were left last, of which some may say the same.
func (g *game) last() []Difference {
	var last []Difference
	for _, d := range g.left {
		if d.Line != g.left[len(g.left)-1].Line {
			continue
		}
		i := slices.IndexFunc(last, func(o Difference) bool { return slices.Equal(o.Want, d.Want) })
		if i < 0 {
			last = append(last, d)
		} else {
			last[i].References = append(last[i].References, d.References...)
		}
	}
	return last
}

// expects reports whether a refusal is what somebody says.
func (g *game) expects(a *act, e happened) bool {
	for _, ref := range g.protocol.References {
		for _, s := range a.wants(ref.Name) {
			if s.what.Refused == e.Refused {
				return true
			}
		}
	}
	return false
}

// end closes what is open and waits for it.
func (g *game) end() {
	for _, p := range g.peers {
		if p.Peer != nil {
			_ = p.Cut() // nobody asks any more
		}
	}
	done := make(chan struct{})
	go func() {
		g.played.Wait()
		close(done)
	}()
	for {
		select {
		case <-g.events:
		case <-done:
			return
		}
	}
}

// do carries an act out.
func (g *game) do(ctx context.Context, a *act) error {
	switch a.verb {
	case begin:
		return nil
	case waiting:
		select {
		case <-time.After(a.wait):
		case <-ctx.Done():
		}
		return nil
	case open:
		return g.open(ctx, a)
	}
	p := g.peers[a.peer]
	if p == nil {
		return fmt.Errorf("line %d: there is no peer %s", a.line, a.peer)
	}
	if p.over {
		return nil // which is why a server that has ended the connection hears no more
	}
	var err error
	switch a.verb {
	case send:
		m := parseMessage(g.live[0].values.fill(a.text2, g.fresh))
		err = p.Send(m.Label, string(m.Data))
	case sendRaw, sendBinary:
		err = p.SendRaw([]byte(g.live[0].values.fill(string(a.data), g.fresh)), a.verb == sendBinary)
	case closing:
		p.over = true
		err = p.Close(a.code)
	case cutting:
		p.over = true
		err = p.Cut()
	}
	_ = err // the connection has ended, which is an event
	return nil
}

// fresh returns a text or a number that nobody has, for all who follow.
func (g *game) fresh(name string) any {
	var value any = "x" + rand.Text()[:12]
	if strings.HasPrefix(name, "number") {
		value = json.Number(strconv.Itoa(10_000_000 + mathrand.IntN(90_000_000)))
	} else if size, ok := strings.CutPrefix(name, "big"); ok {
		if n, err := strconv.Atoi(size); err == nil && n <= maxBig {
			value = strings.Repeat("x", n)
		}
	}
	for _, f := range g.live {
		f.values[name] = value
	}
	return value
}

func (g *game) open(ctx context.Context, a *act) error {
	args := make([]string, len(a.args))
	for i, arg := range a.args {
		args[i] = g.live[0].values.fill(arg, g.fresh)
	}
	bounded, cancel := context.WithTimeout(ctx, g.opts.Timeout)
	defer cancel()
	began := time.Now()
	peer, err := g.protocol.Dial(bounded, g.server, args)
	g.slowest = max(g.slowest, time.Since(began))
	p := &player{Peer: peer}
	g.peers[a.peer] = p
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		p.Peer, p.over = nil, true
		g.refused = append(g.refused, happened{a.peer, Event{Refused: refusal.Status}})
		return nil
	}
	if err != nil {
		p.Peer, p.over = nil, true
		return err
	}
	g.played.Go(func() {
		for e := range peer.Events() {
			g.events <- happened{a.peer, e}
		}
	})
	return nil
}

// follow takes what an act brings about, until all that follow have it whole or have been left.
func (g *game) follow(ctx context.Context, a *act, last bool) []happened {
	got := g.refused
	g.refused = nil
	began := time.Now()
	deadline := time.NewTimer(g.opts.Timeout)
	defer deadline.Stop()
	for {
		progress := g.progress(a, got)
		if len(progress) == 0 {
			for _, f := range g.live {
				g.leave(f, a, got)
			}
			g.live = nil
			return got
		}
		whole, calm := 0, last
		for _, p := range progress {
			if p.whole {
				whole++
			}
			calm = calm || p.calm
		}
		if whole == len(progress) && !calm {
			g.keep(progress, a, got)
			return got
		}
		var quiet <-chan time.Time
		if whole > 0 {
			// A server that is slow with everything is silent for as long before it speaks.
			quiet = time.After(max(g.opts.Quiet, min(2*g.slowest, g.opts.Timeout)))
		}
		select {
		case e := <-g.events:
			if p := g.peers[e.peer]; e.Closed && p.over && p.Peer != nil {
				continue // by ourselves, or once more
			} else if e.Closed {
				p.over = true
			}
			g.slowest = max(g.slowest, time.Since(began))
			got = append(got, e)
			continue
		case <-quiet:
		case <-deadline.C:
		case <-ctx.Done():
		}
		// What has not come does not come.
		g.keep(slices.DeleteFunc(progress, func(p advance) bool { return !p.whole }), a, got)
		return got
	}
}

// advance is how far what has come goes with a follower.
type advance struct {
	*follower
	values values
	whole  bool // nothing more must come
	calm   bool // whether more comes is to be seen
}

// progress returns those whom what has come does not contradict.
func (g *game) progress(a *act, got []happened) []advance {
	var all []advance
	for _, f := range g.live {
		p := advance{f, maps.Clone(f.values), true, false}
		agrees := true
		for peer := range g.peers {
			agrees = agrees && p.hear(peer, a.wants(f.reference), got)
		}
		if agrees {
			all = append(all, p)
		}
	}
	return all
}

// hear compares what a peer has heard with what it is to hear.
func (p *advance) hear(peer string, wants []step, got []happened) bool {
	var left []step
	for _, w := range wants {
		if w.peer == peer && w.quiet {
			p.calm = true
		} else if w.peer == peer {
			left = append(left, w)
		}
	}
	for _, e := range got {
		if e.peer != peer {
			continue
		}
		i := p.find(left, e.Event)
		if i < 0 {
			return false
		}
		left = slices.Delete(slices.Clone(left), i, i+1)
		if i > 0 && !left[i-1].anyOrder {
			left = left[i:] // what could be left out
		}
	}
	p.whole = p.whole && !slices.ContainsFunc(left, func(s step) bool { return !s.optional })
	p.calm = p.calm || len(left) > 0
	return true
}

// find returns which of the steps an event is, -1 for none.
func (p *advance) find(left []step, e Event) int {
	ordered := false // one of a group in any order is still to come
	for i, w := range left {
		if ordered && !w.anyOrder {
			return -1
		}
		if next, ok := w.is(p.values, e); ok {
			p.values = next
			return i
		}
		if !w.optional && !w.anyOrder {
			return -1
		}
		ordered = w.anyOrder
	}
	return -1
}

func (s *step) is(v values, e Event) (values, bool) {
	switch {
	case e.Refused != 0 || s.what.Refused != 0:
		return v, e.Refused == s.what.Refused
	case e.Closed || s.what.Closed:
		return v, e.Closed == s.what.Closed && (s.anyCode || e.Code == s.what.Code)
	case v.known(s.what.Label) != e.Label || (s.what.Data == nil) != (e.Data == nil):
		return v, false
	case e.Data == nil:
		return v, true
	}
	return v.match(s.what.Data, e.Data)
}

// keep drops the followers that are not among those of progress.
func (g *game) keep(progress []advance, a *act, got []happened) {
	var live []*follower
	for _, f := range g.live {
		i := slices.IndexFunc(progress, func(p advance) bool { return p.follower == f })
		if i < 0 {
			g.leave(f, a, got)
			continue
		}
		f.values = progress[i].values
		live = append(live, f)
	}
	g.live = live
}

// leave takes down where a follower was left.
func (g *game) leave(f *follower, a *act, got []happened) {
	d := Difference{References: []string{f.reference}, Line: a.line, After: a.text, Want: []string{}, Got: []string{}}
	for _, s := range a.wants(f.reference) {
		d.Want = append(d.Want, s.text)
	}
	for _, e := range got {
		d.Got = append(d.Got, clip(e.peer+" "+e.String()))
	}
	g.left = append(g.left, d)
}

// maxGot is how many bytes are reported of a message.
const maxGot = 10_000

// clip cuts a text that is too long for a report.
func clip(s string) string {
	if len(s) <= maxGot {
		return s
	}
	return strings.ToValidUTF8(s[:maxGot], "") + "…"
}
