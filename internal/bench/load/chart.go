package main

import (
	"fmt"
	"slices"
	"strings"
)

// chart draws as SVG what servers pass on between pairs, of what the bare relay does: a group of bars for each
// row that has a goal for that.
func chart(rows []*row, goals []goal) string {
	const (
		left, width, bar, gap = 330, 560, 14, 16
		most                  = 1.2 // beyond which bars are cut
	)
	colours := []string{"#9aa0a6", "#1a6fdb", "#d9822b", "#3c9d5d"}
	var b strings.Builder
	y := 40
	body := new(strings.Builder)
	text := func(x, y int, anchor, s string) {
		fmt.Fprintf(body, `<text x="%d" y="%d" text-anchor="%s">%s</text>`+"\n", x, y, anchor, escape(s))
	}
	for _, r := range rows {
		if !slices.ContainsFunc(goals, func(g goal) bool {
			return g.protocol == r.Protocol && g.scenario == r.Scenario && g.figure.beside != "" && passesOn(r)
		}) {
			continue
		}
		drawn := false
		for i, name := range r.order {
			c := r.Servers[name]
			if c.Error != "" || c.Ratio == 0 || name == "bare" {
				continue
			}
			if !drawn {
				text(left-10, y+bar, "end", r.Protocol+": "+r.Scenario)
				drawn = true
			}
			fmt.Fprintf(body, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`+"\n",
				left, y, int(min(c.Ratio, most)*width/most), bar, colours[min(i, len(colours)-1)])
			text(left+int(min(c.Ratio, most)*width/most)+6, y+bar-2, "start", fmt.Sprintf("%.2f %s", c.Ratio, name))
			y += bar + 2
		}
		if drawn {
			y += gap
		}
	}
	one := left + width*10/12
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n",
		left+width+120, y+10)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#ffffff"/>`+"\n")
	fmt.Fprintf(&b, `<line x1="%d" y1="30" x2="%d" y2="%d" stroke="%s" stroke-dasharray="4"/>`+"\n", one, one, y, colours[0])
	fmt.Fprintf(&b, `<text x="%d" y="22" text-anchor="middle">a relay that looks at nothing = 1</text>`+"\n", one)
	b.WriteString(body.String())
	b.WriteString("</svg>\n")
	return b.String()
}

// passesOn reports whether a row is of pairs that send to each other as fast as they can.
func passesOn(r *row) bool { return r.Unit == "forwards/s" && r.Scenario != kneeOf64 }

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
