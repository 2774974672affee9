// The part of a device's web page that belongs to the server. The page of Android
// Cuttlefish imports it from beside its own scripts and talks to the device through
// what it exports:
//
//   deviceId()           the device that the page is for
//   createConnector()    an object with
//     onDeviceMsg(callback)         callback(payload) is called with each message
//     requestDevice(id)             resolves to {deviceInfo, infraConfig}
//     sendToDevice(payload)         resolves when the server has it
//     expectMessagesSoon(duration)  a hint, in milliseconds
//
// Signaling goes over a WebSocket or, where that does not open, over polling.

const pollAtLeast = 250;
const pollAtMost = 5000;
const pollFailures = 10;

// The page is at <base>/devices/<id>/files/..., and every endpoint is below <base>.
function place() {
  const match = /^(.*)\/devices\/([^/]+)\/files\//.exec(location.pathname);
  if (!match) {
    throw new Error(`${location.pathname} is not the page of a device`);
  }
  return {base: location.origin + match[1], id: decodeURIComponent(match[2])};
}

export function deviceId() {
  return place().id;
}

// webSocket is used in place of the browser's; null means to poll at once. openTimeout
// is how many milliseconds a WebSocket may take to open.
export async function createConnector(
    {webSocket = globalThis.WebSocket, openTimeout = 3000} = {}) {
  return new Connector(place().base, webSocket, openTimeout);
}

class Connector {
  #base;
  #webSocket;
  #openTimeout;
  #channel = null;
  #early = [];
  #callback = payload => this.#early.push(payload);

  constructor(base, webSocket, openTimeout) {
    this.#base = base;
    this.#webSocket = webSocket;
    this.#openTimeout = openTimeout;
  }

  // What arrived before there was a callback is handed over now.
  onDeviceMsg(callback) {
    this.#callback = callback;
    for (const payload of this.#early.splice(0)) {
      callback(payload);
    }
  }

  async requestDevice(id) {
    const infraConfig = await request(`${this.#base}/infra_config`);
    const channel = await this.#open(id);
    const deviceInfo = await channel.connect(id);
    this.#channel = channel;
    console.log(`Using ${channel.name} signaling`);
    return {deviceInfo, infraConfig};
  }

  async #open(id) {
    const receive = payload => this.#callback(payload);
    if (this.#webSocket) {
      const url = `${this.#base}/devices/${encodeURIComponent(id)}/connect`;
      try {
        const socket = new SocketChannel(this.#webSocket, receive);
        await socket.open(url.replace(/^http/, 'ws'), this.#openTimeout);
        return socket;
      } catch (e) {
        console.warn(`WebSocket signaling failed, polling instead: ${e.message}`);
      }
    }
    return new PollingChannel(`${this.#base}/polled_connections`, receive);
  }

  async sendToDevice(payload) {
    if (!this.#channel) {
      throw new Error('no device was requested');
    }
    return this.#channel.send(payload);
  }

  expectMessagesSoon(duration) {
    this.#channel?.hurry(duration);
  }
}

class SocketChannel {
  name = 'WebSocket';
  #implementation;
  #receive;
  #socket = null;
  #info;

  constructor(implementation, receive) {
    this.#implementation = implementation;
    this.#receive = receive;
  }

  // Resolves when the connection is open. From then on the server says what is wrong,
  // and another way would not change it.
  open(url, timeout) {
    const socket = new this.#implementation(url);
    this.#socket = socket;
    this.#info = new Promise((resolve, reject) => {
      let connected = false;
      socket.onmessage = event => {
        const message = JSON.parse(event.data);
        if (message.error !== undefined) {
          console.error(`Signaling server: ${message.error}`);
          reject(new Error(message.error));
        } else if (!connected && 'device_info' in message) {
          connected = true;
          resolve(message.device_info);
        } else if ('payload' in message) {
          this.#receive(message.payload);
        }
      };
      socket.onclose = () => {
        console.info('Signaling connection closed');
        reject(new Error('connection closed'));
      };
    });
    this.#info.catch(() => {});  // reported by connect()
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error('timed out'));
        socket.close();
      }, timeout);
      socket.onopen = () => {
        clearTimeout(timer);
        resolve();
      };
      socket.onerror = () => {
        clearTimeout(timer);
        reject(new Error('connection failed'));
      };
    });
  }

  connect() {
    return this.#info;
  }

  async send(payload) {
    if (this.#socket.readyState !== this.#implementation.OPEN) {
      throw new Error('signaling connection is closed');
    }
    this.#socket.send(JSON.stringify(payload));
  }

  hurry() {}
}

class PollingChannel {
  name = 'HTTP polling';
  #url;
  #receive;
  #received = 0;
  #delay = pollAtLeast;
  #hurryUntil = 0;
  #timer;
  #polling = false;
  #failures = 0;
  #sent = Promise.resolve();

  constructor(url, receive) {
    this.#url = url;
    this.#receive = receive;
  }

  async connect(id) {
    const reply = await request(this.#url, {device_id: id});
    this.#url += `/${reply.connection_id}`;
    this.#schedule(pollAtLeast);
    return reply.device_info;
  }

  // Payloads are sent one after the other: requests may overtake each other.
  send(payload) {
    const sent = this.#sent.then(() => request(`${this.#url}/:forward`, {payload}));
    this.#sent = sent.catch(() => {});
    this.hurry(0);
    return sent;
  }

  hurry(duration) {
    this.#hurryUntil = Math.max(this.#hurryUntil, Date.now() + duration);
    if (this.#timer !== undefined && this.#delay > pollAtLeast) {
      this.#schedule(pollAtLeast);
    }
  }

  #schedule(delay) {
    clearTimeout(this.#timer);
    this.#delay = delay;
    this.#timer = setTimeout(() => this.#poll(), delay);
  }

  async #poll() {
    if (this.#polling) {
      return;
    }
    this.#polling = true;
    let soon = Date.now() < this.#hurryUntil;
    try {
      const messages = await request(`${this.#url}/messages?start=${this.#received}`);
      this.#received += messages.length;
      this.#failures = 0;
      soon ||= messages.length > 0;
      messages.forEach(message => this.#deliver(message));
    } catch (e) {
      this.#failures++;
      if (e.status === 404 || this.#failures >= pollFailures) {
        console.error(`Signaling has ended: ${e.message}`);
        clearTimeout(this.#timer);
        this.#timer = undefined;
        return;
      }
      console.warn(`Polling failed: ${e.message}`);
    } finally {
      this.#polling = false;
    }
    this.#schedule(soon ? pollAtLeast : Math.min(2 * this.#delay, pollAtMost));
  }

  // A callback that fails must not cost the messages behind.
  #deliver(message) {
    try {
      this.#receive(message.payload);
    } catch (e) {
      console.error(e);
    }
  }
}

// Makes a request, a POST when there is a body, and returns the JSON of the answer.
async function request(url, body) {
  const response = await fetch(url, body === undefined ? {cache: 'no-store'} : {
    method: 'POST',
    headers: {'Content-Type': 'application/json'},
    body: JSON.stringify(body),
  });
  if (!response.ok) {
    const error = new Error((await response.text()).trim() || response.statusText);
    error.status = response.status;
    throw error;
  }
  return response.json();
}
