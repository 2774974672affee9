package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
)

// building keeps the program from being built twice.
var building sync.Mutex

// startCentrifuge starts the server of package hub, whose program it keeps in a folder. It is not
// part of this program: what it links would be in the memory of our servers.
func startCentrifuge(dir string) (*target, error) {
	if dir == "" {
		return nil, fmt.Errorf("there is no folder for its program: %w", errAbsent)
	}
	building.Lock()
	defer building.Unlock()
	program := filepath.Join(dir, "centrifuge")
	if _, err := os.Stat(program); err != nil {
		build := exec.Command("go", "build", "-o", program, "github.com/rtcsignal/rtcsignal/internal/bench/hub/serve")
		if said, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%w: %s", err, said)
		}
	}
	p, err := start(exec.Command(program), 0)
	if err != nil {
		return nil, err
	}
	return &target{
		name: "centrifuge", process: p, at: address{ws: "ws://127.0.0.1:" + strconv.Itoa(p.port), kind: "centrifuge"},
	}, nil
}

// besideGalene names the servers that are measured beside Galène where they can do the same.
func besideGalene(p *protocol) []string {
	if p.name == "galene" {
		return []string{"centrifuge"}
	}
	return nil
}

// joinCentrifuge subscribes to a channel, in which everybody hears everybody.
func joinCentrifuge(at address, group string, _ int) (*member, error) {
	w, err := dial(at.ws+"/", "centrifuge-json")
	if err != nil {
		return nil, err
	}
	l := &lines{wire: w}
	err = say(l, `{"id":1,"connect":{}}`)
	if err == nil {
		_, err = expect(l, `"connect"`)
	}
	if err == nil {
		err = say(l, `{"id":2,"subscribe":{"channel":"`+group+`"}}`)
	}
	if err == nil {
		_, err = expect(l, `"subscribe"`)
	}
	if err != nil {
		return nil, errors.Join(err, end(l))
	}
	pong := l.frame("{}")
	return &member{
		link: l, echoed: true,
		tell: func(value string) []byte {
			return l.frame(`{"id":3,"publish":{"channel":"` + group + `","data":` + value + `}}`)
		},
		told: func(text []byte) (bool, []byte) {
			if len(text) == 2 {
				return false, pong
			}
			return bytes.HasPrefix(text, []byte(`{"push":`)), nil
		},
	}, nil
}

// lines is a wire with several messages in one, each a line.
type lines struct {
	*wire
	rest []byte
}

func (l *lines) read() (line []byte, err error) {
	for {
		for len(l.rest) > 0 {
			if line, l.rest, _ = bytes.Cut(l.rest, []byte("\n")); len(line) > 0 {
				return line, nil
			}
		}
		if l.rest, err = l.wire.read(); err != nil {
			return nil, err
		}
	}
}
