// Command bot-galene-moderator joins a group of a Galène server as an operator and obeys
// those who write to it in the chat: everybody may ask who is there, operators may also
// lock the group, silence, throw out and invite.
//
//	go run ./examples/server-galene
//	go run ./examples/bot-galene-moderator -group http://127.0.0.1:8443/group/test/ -user moderator -password moderator
//
// Then write !help in the chat of the group.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
)

func main() {
	group := flag.String("group", "http://127.0.0.1:8443/group/test/", "`URL` of the group, with ?token= if there is one")
	user := flag.String("user", "moderator", "user `name`")
	password := flag.String("password", "", "`password`, unless the URL has a token")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *group, *user, *password); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, group, user, password string) error {
	client, joined, err := galenehttp.Join(ctx, group, user, password, &galenehttp.DialOptions{Reconnect: true})
	if err != nil {
		return err
	}
	defer client.Close()
	if !joined.Permissions.Has(galene.PermissionOp) {
		return errors.New("the bot is no operator of the group")
	}
	bot := &moderator{client: client, group: group}
	for m, err := range client.Messages(ctx) {
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *galene.User:
			if m.Kind == galene.UserAdd && !m.Initial {
				fmt.Println("hello", nameOf(m))
			}
		case *galene.Chat:
			bot.chat(ctx, m)
		case *galene.UserMessage:
			if text, ok := galene.Text(m.Value); ok && m.Privileged {
				fmt.Println(m.Kind, text)
			}
		}
	}
	return nil
}

// A moderator obeys commands.
type moderator struct {
	client *galene.Client
	group  string // URL
}

const help = `!who: who is here
!lock [text], !unlock: let nobody in, or somebody
!silence NAME, !unsilence NAME: in the chat
!kick NAME [text]: throw somebody out
!clear: forget the chat
!invite [DURATION]: a link for guests, for an hour`

// chat takes a chat message, and answers its author only.
func (b *moderator) chat(ctx context.Context, m *galene.Chat) {
	text, _ := galene.Text(m.Value)
	command, rest, _ := strings.Cut(text, " ")
	if m.Source == b.client.ID() || !strings.HasPrefix(command, "!") {
		return
	}
	answer, err := b.obey(ctx, command, strings.TrimSpace(rest), m.Privileged)
	if err != nil {
		answer = err.Error()
	}
	if answer == "" {
		return
	}
	if err := b.client.ChatTo(m.Source, answer); err != nil {
		log.Print(err)
	}
}

// obey carries out a command and returns what to answer. The server says whether it comes
// from an operator.
func (b *moderator) obey(ctx context.Context, command, rest string, operator bool) (string, error) {
	switch command {
	case "!help":
		return help, nil
	case "!who":
		var names []string
		for _, u := range b.client.Users() {
			names = append(names, nameOf(u))
		}
		return strings.Join(names, ", "), nil
	}
	if !operator {
		return "", errors.New("only operators may say that")
	}
	switch command {
	case "!lock":
		return "", b.client.Lock(rest)
	case "!unlock":
		return "", b.client.GroupAction(galene.GroupUnlock)
	case "!clear":
		return "", b.client.ClearChat(nil)
	case "!silence":
		return b.each(rest, func(id string) error { return b.client.UserAction(galene.UserShutUp, id) })
	case "!unsilence":
		return b.each(rest, func(id string) error { return b.client.UserAction(galene.UserUnshutUp, id) })
	case "!kick":
		name, text, _ := strings.Cut(rest, " ")
		return b.each(name, func(id string) error { return b.client.Kick(id, text) })
	case "!invite":
		return b.invite(ctx, cmp.Or(rest, "1h"))
	}
	return "", errors.New("there is no such command: try !help")
}

// each does something to all members of a name.
func (b *moderator) each(name string, do func(id string) error) (string, error) {
	n := 0
	for _, u := range b.client.Users() {
		if nameOf(u) != name || u.ID == b.client.ID() {
			continue
		}
		if err := do(u.ID); err != nil {
			return "", err
		}
		n++
	}
	if n == 0 {
		return "", fmt.Errorf("nobody is called %q", name)
	}
	return "", nil
}

// invite makes a link.
func (b *moderator) invite(ctx context.Context, duration string) (string, error) {
	d, err := time.ParseDuration(duration)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	token, err := b.client.MakeToken(ctx, &galene.TokenRequest{
		Permissions: galene.Permissions{galene.PermissionPresent, galene.PermissionMessage},
		Expires:     galene.TokenTime{In: d},
	})
	if err != nil {
		return "", err
	}
	url, _, _ := strings.Cut(b.group, "?")
	return url + "?token=" + token.Token, nil
}

func nameOf(u *galene.User) string {
	if u.Username == nil || *u.Username == "" {
		return "(anonymous)"
	}
	return *u.Username
}
