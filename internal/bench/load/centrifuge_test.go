package main

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMembersOfAChannelOfCentrifugeHearEachOther(t *testing.T) {
	t.Parallel()
	p, err := start(exec.Command(os.Args[0], "-hub"), 0) // it would leave a goroutine behind here
	require.NoError(t, err)
	defer p.stop()
	at := address{ws: fmt.Sprintf("ws://127.0.0.1:%d", p.port), kind: "centrifuge"}
	var members []*member
	defer func() { release(members) }()
	for i := range 3 {
		m, err := joinCentrifuge(at, "channel", i)
		require.NoError(t, err)
		members = append(members, m)
	}
	require.NoError(t, members[0].write(members[0].tell(candidate)))
	require.NoError(t, members[0].write(members[0].tell(candidate)))
	for _, m := range members {
		require.True(t, m.echoed)
		for heard := 0; heard < 2; {
			text, err := m.read()
			require.NoError(t, err)
			yes, reply := m.told(text)
			require.Nil(t, reply)
			if yes {
				require.Contains(t, string(text), candidate)
				heard++
			}
		}
	}
	yes, reply := members[0].told([]byte("{}"))
	require.False(t, yes)
	require.NotEmpty(t, reply, "a ping is answered")
}
