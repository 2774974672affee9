package mediasoupproto
import ("testing";"fmt";"strings";"os")
func TestZZ2(t *testing.T) {
	if os.Getenv("ZZ") == "" { t.Skip() }
	r := newServerRig(t, ServerConfig{})
	r.enter(1, "a"); r.enter(2, "b")
	p := strings.Replace(vp8Parameters(1), `{`, `{"rtcp":{"x":"`+strings.Repeat("x", 60)+`"},`, 1)
	p = strings.Replace(p, `"rtcp":{"cname":"c"}`, `"zz":1`, 1)
	r.say(1, `createTransport#2 {"id":1,"dtlsParameters":@dtls}`, fmt.Sprintf(`createProducer#3 {"id":1,"kind":"video","transportId":1,"rtpParameters":%s}`, p))
	fmt.Println(strings.Join(r.take(), "\n"))
	s, _ := r.Peer(2)
	fmt.Printf("%+v\n", s.Consumers[0].RTPParameters.RTCP)
}
