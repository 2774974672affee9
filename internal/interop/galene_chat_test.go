package interop

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
)

// chatOf matches a chat message by its text.
func chatOf(t *testing.T, text string) func(m *galene.Chat) bool {
	return func(m *galene.Chat) bool { return textOf(t, m.Value) == text }
}

func TestGaleneChatReachesEverybody(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice, bob, dave := s.join(t, "test", "alice"), s.join(t, "test", "bob"), s.join(t, "test", "dave")
		for _, kind := range []galene.ChatKind{galene.ChatPlain, galene.ChatMe, "of-the-application"} {
			text := "from bob, kind " + string(kind)
			require.NoError(t, bob.Send(&galene.Chat{Kind: kind, Value: galene.NewText(text)}))
			ids := map[string]bool{}
			for _, c := range []*galeneClient{alice, bob, dave} {
				m := expect(c, "chat", chatOf(t, text))
				require.Equal(t, kind, m.Kind)
				require.Equal(t, bob.ID(), m.Source)
				require.Equal(t, "bob", *m.Username)
				require.Empty(t, m.Dest)
				require.False(t, m.Privileged)
				require.False(t, m.NoEcho)
				at, ok := m.Time.Time()
				require.True(t, ok, m.Time)
				require.WithinDuration(t, time.Now(), at, time.Hour)
				require.NotContains(t, string(m.Time), ".", "whole seconds")
				require.NotEmpty(t, m.ID)
				ids[m.ID] = true
			}
			require.Len(t, ids, 1, "the same id for everybody")
		}
		require.NoError(t, alice.Chat("from alice"))
		require.True(t, expect(bob, "chat", chatOf(t, "from alice")).Privileged)
	})
}

func TestGaleneChatKeepsTheIDOfItsSenderAndAnyValue(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		bob := s.join(t, "test", "bob")
		for i, value := range []string{`{"a":[1,2.5,null,"x"]}`, `17`, `true`, `[]`, `""`, `"\u2028 <&> 🙂 \n"`} {
			id := fmt.Sprint("mine-", i)
			require.NoError(t, bob.Send(&galene.Chat{ID: id, Value: json.RawMessage(value)}))
			m := expect(bob, "chat", func(m *galene.Chat) bool { return m.ID == id })
			require.JSONEq(t, value, string(m.Value))
		}
	})
}

func TestGalenePrivateChatReachesOneMember(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice, bob, carol := s.join(t, "test", "alice"), s.join(t, "test", "bob"), s.join(t, "test", "carol")
		require.NoError(t, bob.ChatTo(carol.ID(), "psst"))
		require.NoError(t, bob.Chat("loud"))
		m := expect(carol, "chat", chatOf(t, "psst"))
		require.Equal(t, carol.ID(), m.Dest)
		require.Equal(t, bob.ID(), m.Source)
		require.Equal(t, "bob", *m.Username)
		require.Empty(t, m.ID)
		require.NotEmpty(t, m.Time)
		for _, c := range []*galeneClient{alice, bob} {
			require.Equal(t, "loud", textOf(t, expect[*galene.Chat](c, "chat", nil).Value), "nobody else hears of it")
		}
		require.NoError(t, bob.ChatTo(bob.ID(), "note to self"))
		expect(bob, "chat", chatOf(t, "note to self"))
	})
}

func TestGaleneNoEchoSparesTheSender(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice, bob := s.join(t, "test", "alice"), s.join(t, "test", "bob")
		require.NoError(t, bob.Send(&galene.Chat{Value: galene.NewText("quiet"), NoEcho: true}))
		require.True(t, expect(alice, "chat", chatOf(t, "quiet")).NoEcho)
		for _, m := range bob.settle() {
			_, ok := m.(*galene.Chat)
			require.False(t, ok, "an echo")
		}
	})
}

func TestGaleneChatToNobodyIsRefused(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		bob := s.join(t, "test", "bob")
		require.NoError(t, bob.ChatTo("nobody", "hello?"))
		require.Equal(t, "user unknown", bob.refusal())
		require.NoError(t, bob.UserMessage(galene.UserMessageInfo, "nobody", galene.NewText("hello?")))
		require.Equal(t, "user unknown", bob.refusal())
	})
}

func TestGaleneCaptionsNeedTheirPermission(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice, bob, erin := s.join(t, "test", "alice"), s.join(t, "test", "bob"), s.join(t, "test", "erin")
		require.NoError(t, erin.Caption("what is being said"))
		m := expect(bob, "caption", chatOf(t, "what is being said"))
		require.Equal(t, galene.ChatCaption, m.Kind)
		require.Equal(t, erin.ID(), m.Source)
		require.NoError(t, alice.Caption("by an operator"))
		expect(bob, "caption", chatOf(t, "by an operator"))

		var missing *galene.PermissionError
		require.ErrorAs(t, bob.Caption("not mine"), &missing)
		require.Equal(t, galene.PermissionCaption, missing.Required)
		require.ErrorAs(t, erin.Chat("not mine"), &missing)
		require.Equal(t, galene.PermissionMessage, missing.Required)
	})
}

func TestGaleneHistoryIsToldToThoseWhoComeLater(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice, bob, erin := s.join(t, "test", "alice"), s.join(t, "test", "bob"), s.join(t, "test", "erin")
		require.NoError(t, bob.Chat("first"))
		require.NoError(t, bob.Send(&galene.Chat{Kind: galene.ChatMe, Value: galene.NewText("second")}))
		require.NoError(t, bob.ChatTo(alice.ID(), "private"))
		require.NoError(t, bob.UserMessage(galene.UserMessageInfo, "", galene.NewText("not chat")))
		bob.settle()
		require.NoError(t, erin.Caption("third"))
		require.NoError(t, erin.Send(&galene.Chat{Kind: galene.ChatCaption, Value: galene.NewText("fourth"), NoEcho: true}))
		erin.settle()
		live, _ := alice.got.from(0)

		late := s.connect(t, nil)
		late.enter("test", "carol")
		all, _ := late.got.from(0)
		require.IsType(t, new(galene.Joined), all[0])
		var texts []string
		for _, m := range all[1 : late.seen-1] {
			h, ok := m.(*galene.ChatHistory)
			require.True(t, ok, "history comes between joined and oneself, but %s", late.show(all))
			texts = append(texts, fmt.Sprintf("%s %s: %s", *h.Username, h.Kind, textOf(t, h.Value)))
			for _, l := range live {
				if c, ok := l.(*galene.Chat); ok && textOf(t, c.Value) == textOf(t, h.Value) {
					require.Equal(t, c.ID, h.ID)
					require.Equal(t, c.Source, h.Source)
					require.Equal(t, c.Time, h.Time)
				}
			}
		}
		require.Equal(t, []string{"bob : first", "bob me: second", "erin caption: third", "erin caption: fourth"}, texts)
	})
}

func TestGaleneHistoryHasFiftyMessages(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		bob := s.join(t, "test", "bob")
		for i := range 60 {
			require.NoError(t, bob.Chat(fmt.Sprint(i)))
		}
		bob.settle()
		late := s.join(t, "test", "carol")
		var texts []string
		all, _ := late.got.from(0)
		for _, m := range all {
			if h, ok := m.(*galene.ChatHistory); ok {
				texts = append(texts, textOf(t, h.Value))
			}
		}
		require.Len(t, texts, 50)
		require.Equal(t, "10", texts[0])
		require.Equal(t, "59", texts[49])
	})
}

func TestGaleneClearChatInAllItsForms(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice, bob, carol := s.join(t, "test", "alice"), s.join(t, "test", "bob"), s.join(t, "test", "carol")
		say := func(c *galeneClient, texts ...string) {
			for _, text := range texts {
				require.NoError(t, c.Send(&galene.Chat{ID: "id-" + text, Value: galene.NewText(text)}))
				expect(alice, "chat", chatOf(t, text))
			}
		}
		left := func() []string {
			late := s.join(t, "test", "dave")
			texts := []string{}
			all, _ := late.got.from(0)
			for _, m := range all {
				if h, ok := m.(*galene.ChatHistory); ok {
					texts = append(texts, textOf(t, h.Value))
				}
			}
			require.NoError(t, late.Close())
			return texts
		}
		cleared := func() *galene.ClearChat {
			var which []*galene.ClearChat
			for _, c := range []*galeneClient{alice, bob} {
				m := expect(c, "clearchat", func(m *galene.UserMessage) bool { return m.Kind == galene.UserMessageClearChat })
				require.True(t, m.Privileged)
				one, err := m.ClearChat()
				require.NoError(t, err)
				which = append(which, one)
			}
			require.Equal(t, which[0], which[1])
			return which[0]
		}
		say(bob, "b1", "b2")
		say(carol, "c1", "c2")
		require.Equal(t, []string{"b1", "b2", "c1", "c2"}, left())

		require.NoError(t, alice.ClearChat(&galene.ClearChat{ID: "id-b1", UserID: bob.ID()}))
		require.Equal(t, &galene.ClearChat{ID: "id-b1", UserID: bob.ID()}, cleared())
		require.Equal(t, []string{"b2", "c1", "c2"}, left())

		require.NoError(t, alice.ClearChat(&galene.ClearChat{ID: "id-c1", UserID: bob.ID()})) // not his
		cleared()
		require.Equal(t, []string{"b2", "c1", "c2"}, left())

		require.NoError(t, alice.ClearChat(&galene.ClearChat{UserID: carol.ID()}))
		require.Equal(t, &galene.ClearChat{UserID: carol.ID()}, cleared())
		require.Equal(t, []string{"b2"}, left())

		say(carol, "c3")
		require.NoError(t, alice.ClearChat(nil))
		require.Equal(t, new(galene.ClearChat), cleared())
		require.Empty(t, left())
	})
}

func TestGaleneUserMessagesReachOneOrAllOthers(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice, bob, carol := s.join(t, "test", "alice"), s.join(t, "test", "bob"), s.join(t, "test", "carol")
		kinds := []galene.UserMessageKind{
			galene.UserMessageInfo, galene.UserMessageWarning, galene.UserMessageError, galene.UserMessageMute, "of-the-application",
		}
		for _, kind := range kinds {
			value := json.RawMessage(`{"kind":"` + string(kind) + `"}`)
			require.NoError(t, alice.UserMessage(kind, "", value))
			require.NoError(t, bob.UserMessage(kind, carol.ID(), value))
			fromAlice := func(m *galene.UserMessage) bool { return m.Source == alice.ID() && m.Kind == kind }
			for _, c := range []*galeneClient{bob, carol} {
				m := expect(c, "message", fromAlice)
				require.Equal(t, "alice", *m.Username)
				require.Empty(t, m.Dest)
				require.True(t, m.Privileged)
				require.JSONEq(t, string(value), string(m.Value))
				require.NotEmpty(t, m.Time)
			}
			carol.seen = 0 // the order of two senders is not defined
			m := expect(carol, "private message", func(m *galene.UserMessage) bool { return m.Source == bob.ID() && m.Kind == kind })
			require.Equal(t, carol.ID(), m.Dest)
			require.False(t, m.Privileged)
			require.JSONEq(t, string(value), string(m.Value))
		}
		for _, m := range append(alice.settle(), bob.settle()...) {
			_, ok := m.(*galene.UserMessage)
			require.False(t, ok, "an echo, or somebody else's: %s", alice.show([]galene.Message{m}))
		}
	})
}

// TestGaleneTheLargestMessageHurtsNobody has a message that is as large as the server takes.
// What it forwards is larger, by what it adds.
func TestGaleneTheLargestMessageHurtsNobody(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice := s.join(t, "test", "alice")
		r := s.raw(t, "id-large")
		r.handshake()
		r.join("test", "bob", "bpw")
		const frame = `{"type":"chat","value":""}`
		r.say([]byte(strings.Replace(frame, `""`, `"`+strings.Repeat("a", 1<<20-len(frame))+`"`, 1)), nil)
		m := expect[*galene.Chat](alice, "chat", nil)
		require.Len(t, textOf(t, m.Value), 1<<20-len(frame))
		late := s.join(t, "test", "carol")
		if s.real { // see deviations
			late.seen = 0
			h := expect[*galene.ChatHistory](late, "history", nil)
			require.Len(t, textOf(t, h.Value), 1<<20-len(frame))
		}
		require.NoError(t, alice.Chat("still here"))
		expect(late, "chat", chatOf(t, "still here"))
	})
}
