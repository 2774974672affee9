'use strict';

// A session with a media server over MSE JSON-RPC 1.0, for browsers. The client is the
// polite side: when two offers cross, it withdraws its own.
class MSESession extends EventTarget {
  #socket;
  #calls = new Map();
  #last = 0;
  #making = false;

  // objects says how descriptions and candidates are written: as objects or as strings.
  constructor(url, {objects = false, configuration = {}} = {}) {
    super();
    this.objects = objects;
    this.pc = new RTCPeerConnection(configuration);
    this.pc.onicecandidate = e => this.#candidate(e.candidate);
    this.pc.onnegotiationneeded = () => this.#offer();
    this.#socket = new WebSocket(url);
    this.opened = new Promise((resolve, reject) => {
      this.#socket.onopen = resolve;
      this.#socket.onerror = () => reject(new Error('no connection'));
    });
    this.#socket.onmessage = e => this.#receive(JSON.parse(e.data));
    this.#socket.onclose = e => {
      for (const call of this.#calls.values()) call.reject(new Error(`closed ${e.code} ${e.reason}`));
      this.pc.close();
      this.dispatchEvent(new CustomEvent('closed', {detail: e.code}));
    };
    this.started = false;
  }

  async join(token) {
    await this.opened;
    await this.call('auth', {token, version: '1.0'});
    await this.call('start');
    this.started = true;
    // The server offers first if it has something to offer.
    setTimeout(() => { if (!this.pc.remoteDescription) this.#offer(); }, 500);
  }

  call(method, params) {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#calls.set(id, {resolve, reject});
      this.#send({id, method, jsonrpc: '2.0', ...(params && {params})});
    });
  }

  notify(method, params) {
    this.#send({id: null, method, jsonrpc: '2.0', ...(params && {params})});
  }

  leave() {
    this.notify('disconnect');
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
      this.#description(m.params.offer);
    } else if (m.method === 'iceCandidate') {
      this.#remoteCandidate(m.params.candidate);
    }
  }

  async #offer() {
    if (!this.started || this.pc.signalingState !== 'stable') return;
    this.#making = true;
    try {
      await this.pc.setLocalDescription();
      this.#describe();
    } finally {
      this.#making = false;
    }
  }

  #describe() {
    const d = this.pc.localDescription;
    if (d) this.notify('sdpOffer', {offer: this.objects ? d : d.sdp});
  }

  async #description(value) {
    const d = typeof value === 'string' ? {sdp: value} : value;
    const pending = this.#making || this.pc.signalingState === 'have-local-offer';
    // An offer leaves the role of DTLS open, an answer never does.
    d.type ??= pending && !d.sdp.includes('a=setup:actpass') ? 'answer' : 'offer';
    await this.pc.setRemoteDescription(d); // withdraws an offer of ours that crosses
    if (d.type === 'offer') {
      await this.pc.setLocalDescription();
      this.#describe();
    }
  }

  #candidate(c) {
    const value = this.objects ? c?.toJSON() ?? {candidate: ''} : c?.candidate ?? '';
    this.notify('iceCandidate', {candidate: value});
  }

  async #remoteCandidate(value) {
    const c = typeof value === 'string' ? {candidate: value, sdpMLineIndex: 0} : value;
    if (!c?.candidate) return;
    try {
      await this.pc.addIceCandidate(c);
    } catch (e) {
      this.dispatchEvent(new CustomEvent('failure', {detail: String(e)}));
    }
  }
}
