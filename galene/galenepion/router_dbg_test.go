package galenepion_test

import (
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
)

func TestDbg(t *testing.T) {
	h := newRouterHall(t, galenepion.RouterOptions{Logger: slog.New(slog.NewTextHandler(os.Stdout, nil))})
	sender, viewer := h.join("sender", nil), h.join("viewer", routerAll)
	sound := routerSound(t)
	sender.publish("0", "camera", "", sound)
	viewer.awaitMedia("0/audio")
	const last = 8
	for i := range last {
		sender.publish(fmt.Sprint(i+1), "camera", fmt.Sprint(i), sound)
		if i%3 == 1 {
			m := viewer.awaitOffer(fmt.Sprint(i + 1)); fmt.Println("awaited", m.ID, m.Replace)
		}
	}
	time.Sleep(2 * time.Second)
	viewer.mu.Lock()
	defer viewer.mu.Unlock()
	for _, m := range viewer.heard {
		switch m := m.(type) {
		case *galene.Offer:
			fmt.Println("offer", m.ID, m.Replace)
		case *galene.Close:
			fmt.Println("close", m.ID)
		}
	}
	for _, m := range sender.heard {
		switch m := m.(type) {
		case *galene.Abort:
			fmt.Println("abort", m.ID)
		case *galene.Answer:
			fmt.Println("answer", m.ID)
		case *galene.Close:
			fmt.Println("close", m.ID)
		}
	}
	for id := range viewer.downs {
		fmt.Println("left", id)
	}
}
