'use strict';

// A session with a media server over MSE JSON-RPC 1.0, for browsers. The client is the
// polite side: when two offers cross, it withdraws its own. It keeps its offers from the
// browser until they are answered, because Chromium (156) does not recover from a rollback:
// data channels are never offered again, and the numbers that the offer has given to header
// extensions stay taken, so that it refuses the server's.
//
// Events: closed, with the code and the reason of the WebSocket in detail; failure, with
// a text in detail, for a step of the negotiation that the browser refused.
class MSESession extends EventTarget {
  #socket;
  #opened;
  #calls = new Map();
  #last = 0;
  #started = false;
  #wanted = false; // an offer, before the session has started
  #pending = null; // the offer that has no answer yet
  #heard = false; // a description of the server

  // objects says how descriptions and candidates are written: as objects or as strings.
  constructor(url, {objects = false, configuration = {}} = {}) {
    super();
    this.objects = objects;
    // A candidate that is a string does not name its section, so there is one transport for all.
    this.pc = new RTCPeerConnection({bundlePolicy: 'max-bundle', ...configuration});
    this.pc.onicecandidate = e => this.#candidate(e.candidate);
    this.pc.onnegotiationneeded = () => this.#offer();
    this.pc.addEventListener('connectionstatechange', () => {
      if (this.pc.connectionState === 'failed') this.pc.restartIce(); // the server waits for it
    });
    this.#socket = new WebSocket(url);
    this.#opened = new Promise(resolve => { this.#socket.onopen = this.#socket.onerror = resolve; });
    this.#socket.onmessage = e => this.#receive(JSON.parse(e.data));
    this.#socket.onclose = ({code, reason}) => {
      for (const call of this.#calls.values()) call.reject(new Error(`closed ${code} ${reason}`.trim()));
      this.pc.close();
      this.dispatchEvent(new CustomEvent('closed', {detail: {code, reason}}));
    };
  }

  async join(token) {
    await this.#opened;
    await this.call('auth', {token, version: '1.0'});
    await this.call('start');
    this.#started = true;
    // The server offers first if it has something to offer.
    setTimeout(() => { if (this.#wanted && !this.#heard) this.#offer(); }, 500);
  }

  // addTrack sends a track, in a section of its own: pc.addTrack may take one in which
  // the server sends, and which brings it nothing. It returns the sender, for pc.removeTrack.
  addTrack(track, ...streams) {
    return this.pc.addTransceiver(track, {direction: 'sendonly', streams}).sender;
  }

  call(method, params) {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      if (this.#socket.readyState !== WebSocket.OPEN) throw new Error('no connection');
      this.#calls.set(id, {resolve, reject});
      this.#send({id, method, jsonrpc: '2.0', ...(params && {params})});
    });
  }

  notify(method, params) {
    this.#send({id: null, method, jsonrpc: '2.0', ...(params && {params})});
  }

  // leave asks the server to end the session.
  leave() {
    this.notify('disconnect');
  }

  // close ends the session from here.
  close() {
    this.#socket.close(1000);
  }

  #send(message) {
    this.#socket.send(JSON.stringify(message));
  }

  #receive(m) {
    if (m.method === undefined) {
      const call = this.#calls.get(m.id);
      this.#calls.delete(m.id);
      if (m.error) call?.reject(new Error(`${m.error.message} (${m.error.code})`));
      else call?.resolve(m.result);
    } else if (m.method === 'sdpOffer') {
      this.#heard = true;
      this.#try(this.#description(m.params.offer));
    } else if (m.method === 'iceCandidate') {
      this.#try(this.#remoteCandidate(m.params.candidate));
    }
  }

  async #try(step) {
    try {
      await step;
    } catch (e) {
      if (this.pc.signalingState !== 'closed') this.dispatchEvent(new CustomEvent('failure', {detail: String(e)}));
    }
  }

  #offer() {
    this.#wanted = !this.#started;
    // The browser asks again after whatever is pending.
    if (this.#started && !this.#pending && this.pc.signalingState === 'stable') this.#try(this.#makeOffer());
  }

  async #makeOffer() {
    const offer = this.#pending = {type: 'offer'};
    try {
      offer.sdp = withoutCollisions((await this.pc.createOffer()).sdp);
    } catch (e) {
      this.#pending = null;
      throw e;
    }
    if (this.#pending === offer) this.#describe(offer); // no offer of the server's has come first
  }

  #describe(d) {
    this.notify('sdpOffer', {offer: this.objects ? d : d.sdp});
  }

  async #description(value) {
    const {type, sdp} = typeof value === 'string' ? {sdp: value} : value;
    const offer = this.#pending;
    this.#pending = null;
    // An offer leaves the role of DTLS open, an answer never does.
    if (type ? type === 'answer' : offer && !sdp.includes('a=setup:actpass')) {
      await Promise.all([this.pc.setLocalDescription(offer), this.pc.setRemoteDescription({type: 'answer', sdp})]);
      return;
    }
    await this.pc.setRemoteDescription({type: 'offer', sdp});
    await this.pc.setLocalDescription();
    this.#describe(this.pc.localDescription);
  }

  #candidate(c) {
    const value = this.objects ? c?.toJSON() ?? {candidate: ''} : c?.candidate ?? '';
    this.notify('iceCandidate', {candidate: value});
  }

  async #remoteCandidate(value) {
    const c = typeof value === 'string' ? {candidate: value, sdpMLineIndex: 0} : value;
    if (c?.candidate) await this.pc.addIceCandidate(c);
  }
}

// withoutCollisions leaves out header extensions whose number is another one's already, which
// Chromium (156) writes after an offer was withdrawn, and then refuses to use.
function withoutCollisions(sdp) {
  const taken = new Map();
  return sdp.replace(/^a=extmap:(\d+)\S* (\S+).*\r\n/gm, (line, number, uri) => {
    if (!taken.has(number)) taken.set(number, uri);
    return taken.get(number) === uri ? line : '';
  });
}
