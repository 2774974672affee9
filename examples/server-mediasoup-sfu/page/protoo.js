'use strict';

// A connection in which requests have answers, as protoo has them. Its events are
// notification, with {method, data}, and closed, with {code, reason}.
class Protoo extends EventTarget {
  #socket;
  #waiting = new Map();
  #last = Math.floor(Math.random() * 1e6) + 1e6;

  constructor(url) {
    super();
    this.#socket = new WebSocket(url, 'protoo');
    this.#socket.onmessage = ({data}) => this.#receive(JSON.parse(data));
    this.#socket.onclose = ({code, reason}) => {
      for (const {reject} of this.#waiting.values()) reject(new Error('connection closed'));
      this.#waiting.clear();
      this.dispatchEvent(new CustomEvent('closed', {detail: {code, reason}}));
    };
    this.opened = new Promise((resolve, reject) => {
      this.#socket.onopen = () => resolve();
      this.#socket.onerror = () => reject(new Error('no connection'));
    });
  }

  #receive(m) {
    if (m.notification) {
      this.dispatchEvent(new CustomEvent('notification', {detail: m}));
    } else if (m.response && this.#waiting.has(m.id)) {
      const {resolve, reject} = this.#waiting.get(m.id);
      this.#waiting.delete(m.id);
      if (m.ok) resolve(m.data);
      else reject(new Error(m.errorReason));
    }
  }

  #send(m) {
    if (this.#socket.readyState !== WebSocket.OPEN) throw new Error('connection closed');
    this.#socket.send(JSON.stringify(m));
  }

  async request(method, data) {
    const id = ++this.#last;
    this.#send({request: true, id, method, data});
    return new Promise((resolve, reject) => this.#waiting.set(id, {resolve, reject}));
  }

  notify(method, data) {
    this.#send({notification: true, method, data});
  }

  close() {
    this.#socket.close(1000);
  }
}
