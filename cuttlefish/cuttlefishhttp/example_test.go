package cuttlefishhttp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishhttp"
)

func Example() {
	srv := cuttlefish.NewServer(&cuttlefish.ServerOptions{
		ICEServers: []cuttlefish.ICEServer{{URLs: []string{"stun:stun.example.org"}}},
	})
	defer srv.Close()
	handler := cuttlefishhttp.NewHandler(srv, nil)
	defer handler.Close()
	web := httptest.NewServer(handler)
	defer web.Close()

	ctx := context.Background()
	device, err := cuttlefishhttp.ConnectDevice(ctx, web.URL, "cvd-1", &cuttlefishhttp.DialDeviceOptions{
		Device: &cuttlefish.DeviceOptions{DeviceInfo: json.RawMessage(`{"displays":[]}`)},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer device.Close()
	client, err := cuttlefishhttp.ConnectClient(ctx, web.URL, "cvd-1", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	fmt.Println(client.Config().ICEServers[0].URLs, string(client.DeviceInfo()))

	if err := client.SendPayload(&cuttlefish.RequestOffer{}); err != nil {
		fmt.Println(err)
		return
	}
	for m, err := range device.Messages(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if m, ok := m.(*cuttlefish.ClientMsg); ok {
			fmt.Println("client", m.ClientID, "sends", string(m.Payload))
			break
		}
	}
	// Output:
	// [stun:stun.example.org] {"displays":[]}
	// client 1 sends {"type":"request-offer"}
}
