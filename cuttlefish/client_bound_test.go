package cuttlefish

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// notAgain is a Redial for those who must not use it.
func notAgain(context.Context) (transport.Conn, error) { panic("not again") }

func TestAServerThatDoesNotStopEndsTheClientOnceItWouldKeepTooMuch(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 2000)
	for name, e := range map[string]script.Endless{
		"ICE servers": {Want: ErrTooMuchState, Say: func(i int) string {
			return `{"message_type":"config","ice_servers":[` + strings.Repeat(`{"urls":["stun:a"]},`, 10*i) + `{"urls":["stun:b"]}]}`
		}},
		"a device_info": {Want: ErrTooMuchState, Say: func(i int) string {
			return `{"message_type":"device_info","device_info":"` + strings.Repeat(long, 4*i) + `"}`
		}},
		"messages that nobody reads": {Unread: true, Want: ErrSlowConsumer, Say: func(int) string {
			return `{"message_type":"device_msg","payload":"` + long + `"}`
		}},

		"configs":      {Say: func(int) string { return `{"message_type":"config","ice_servers":[{"urls":["stun:` + long + `"]}]}` }},
		"device_infos": {Say: func(int) string { return `{"message_type":"device_info","device_info":"` + long + `"}` }},
		"messages":     {Say: func(int) string { return `{"message_type":"device_msg","payload":"` + long + `"}` }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, p := client(t, &ClientOptions{StateBytes: 64 << 10, Inbox: -1, Redial: notAgain})
				script.RequireEndless(t, e, p, c)
			})
		})
	}
}

func TestAServerThatDoesNotStopEndsTheDeviceOnceItWouldKeepTooMuch(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 2000)
	for name, e := range map[string]script.Endless{
		"ICE servers": {Want: ErrTooMuchState, Say: func(i int) string {
			return `{"message_type":"config","ice_servers":[` + strings.Repeat(`{"urls":["stun:a"]},`, 10*i) + `{"urls":["stun:b"]}]}`
		}},
		"messages that nobody reads": {Unread: true, Want: ErrSlowConsumer, Say: func(int) string {
			return `{"message_type":"client_msg","client_id":1,"payload":"` + long + `"}`
		}},

		"configs":  {Say: func(int) string { return `{"message_type":"config","ice_servers":[{"urls":["stun:` + long + `"]}]}` }},
		"messages": {Say: func(int) string { return `{"message_type":"client_msg","client_id":1,"payload":"` + long + `"}` }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d, p := registered(t, &DeviceOptions{StateBytes: 64 << 10, Inbox: -1, Redial: notAgain})
				script.RequireEndless(t, e, p, d)
			})
		})
	}
}
