package main

import (
	"bytes"
	"context"
	_ "embed" // of the page
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"slices"
	"text/tabwriter"
	"time"
)

// A site is what a protocol has while the demo stays up.
type site struct {
	Protocol  string
	What      string // what is there
	Watch     string // page that shows it
	Endpoints []link
	Bot       string // command that joins it, for go run
}

// A link is where something is.
type link struct{ What, URL string }

//go:embed index.html
var index string

var page = template.Must(template.New("page").Parse(index))

// serve keeps servers and bots up until ctx ends or one of them fails. It tells where they are
// in lines and on a page, whose address is the first line.
func serve(ctx context.Context, w io.Writer, chosen []protocol, where place) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	listener, err := where.listen()
	if err != nil {
		return err
	}
	defer listener.Close()
	fmt.Fprintf(w, "Open http://%s/ in a browser. Ctrl-C ends the demo.\n\n", listener.Addr())

	type running struct {
		number int
		site   *site // nil: it has ended
		err    error
	}
	news := make(chan running)
	for i, p := range chosen {
		there := where
		if where.port != 0 {
			there.port += p.port
		}
		go func() {
			err := p.serve(ctx, there, func(s *site) {
				s.Protocol = p.name
				news <- running{number: i, site: s}
			})
			news <- running{number: i, err: err}
		}()
	}
	var web *http.Server
	defer func() {
		if web != nil {
			_ = web.Close()
		}
	}()
	sites := make([]*site, len(chosen))
	var failed error
	for left := len(chosen); left > 0; {
		n := <-news
		if n.site == nil {
			left--
			if n.err != nil && !errors.Is(n.err, context.Canceled) {
				failed = errors.Join(failed, fmt.Errorf("%s: %w", chosen[n.number].name, n.err))
			}
			cancel()
			continue
		}
		sites[n.number] = n.site
		if !slices.Contains(sites, nil) && ctx.Err() == nil {
			handler, err := front(sites)
			if err != nil {
				failed = err
				cancel()
				continue
			}
			web = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
			go func() { _ = web.Serve(listener) }() // ends with this function
			printSites(w, sites)
		}
	}
	return failed
}

// front serves the page that links all the others.
func front(sites []*site) (http.Handler, error) {
	var out bytes.Buffer
	if err := page.Execute(&out, sites); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(out.Bytes())
	})
	return mux, nil
}

func printSites(w io.Writer, sites []*site) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range sites {
		fmt.Fprintf(t, "%s\t%s\t%s\n", s.Protocol, "page", s.Watch)
		for _, e := range s.Endpoints {
			fmt.Fprintf(t, "%s\t%s\t%s\n", s.Protocol, e.What, e.URL)
		}
	}
	_ = t.Flush() // standard output
}
