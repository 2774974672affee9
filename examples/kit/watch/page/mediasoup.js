// A peer of a room of mediasoup 2 that sends nothing. The protocol has no SDP: a server says
// what its side of the transport and each consumer is, and the page writes that down as an
// offer for the browser.

import {ended, hide, inOrder, log, randomId, server, show, state, talk} from '/watch.js';

const options = new URLSearchParams(location.search);
const roomId = options.get('room') ?? 'lobby', peerName = options.get('name') ?? `browser-${randomId().slice(0, 4)}`;

// Messages travel in those of protoo: requests with their responses, and notifications.
const socket = new WebSocket(`${server}/?${new URLSearchParams({roomId, peerName})}`, 'protoo');
const waiting = new Map();
let lastId = 1000000;
function request(method, data) {
  const id = ++lastId;
  socket.send(JSON.stringify({request: true, id, method, data}));
  return new Promise((resolve, reject) => waiting.set(id, {resolve, reject}));
}
socket.onopen = () => inOrder(join);
socket.onmessage = ({data}) => {
  const m = JSON.parse(data);
  if (m.response) {
    if (m.ok) waiting.get(m.id)?.resolve(m.data);
    else waiting.get(m.id)?.reject(new Error(m.errorReason));
    waiting.delete(m.id);
  } else if (m.notification && m.method === 'mediasoup-notification') {
    inOrder(() => handle(m.data));
  }
};
socket.onclose = ({reason}) => {
  for (const {reject} of waiting.values()) reject(new Error('the connection is closed'));
  pc.close();
  ended(reason);
};

const ask = (method, more) => request('mediasoup-request', {method, target: 'peer', ...more});
const tell = (method, more) => socket.send(JSON.stringify({
  notification: true, method: 'mediasoup-notification', data: {method, target: 'peer', notification: true, ...more},
}));

const pc = new RTCPeerConnection();
const transportId = 10000000 + Math.floor(Math.random() * 9e7);
const sections = []; // of the description: one for each consumer, in the order of their arrival
let transport, version = 0, introduced = false;

async function join() {
  const room = await ask('queryRoom', {target: 'room'});
  const {peers} = await ask('join', {target: 'room', peerName, spy: false, rtpCapabilities: {
    codecs: usable(room.rtpCapabilities.codecs), headerExtensions: [], fecMechanisms: [],
  }});
  transport = await ask('createTransport', {id: transportId, direction: 'recv', options: {}});
  state(`in the room ${roomId} as ${peerName}`);
  talk(async text => log(`the server: ${(await request('echo', {text})).text}`));
  for (const consumer of peers.flatMap(p => p.consumers)) add(consumer);
  await negotiate();
}

// usable returns the codecs of the room that the browser has too, with the room's numbers.
function usable(codecs) {
  const own = new Set(['audio', 'video'].flatMap(kind => RTCRtpReceiver.getCapabilities(kind).codecs)
    .map(c => c.mimeType.toLowerCase()));
  const kept = codecs.filter(c => own.has(c.mimeType.toLowerCase()));
  const retransmitted = c => c.parameters?.apt;
  return kept.filter(c => !retransmitted(c) || kept.some(k => k.preferredPayloadType === retransmitted(c)));
}

async function handle(m) {
  switch (m.method) {
    case 'newConsumer':
      add(m);
      return negotiate();
    case 'consumerClosed':
      return close(s => s.id === m.id);
    case 'peerClosed':
      return close(s => s.peerName === m.name);
    case 'closed':
      return socket.close(1000);
  }
}

function add(consumer) {
  if (consumer.rtpParameters.codecs.length) sections.push({...consumer, mid: `m${consumer.id}`});
}

async function close(which) {
  const closing = sections.filter(s => which(s) && !s.closed);
  for (const section of closing) section.closed = true;
  if (closing.length) await negotiate();
  for (const {peerName} of closing) {
    if (!sections.some(s => s.peerName === peerName && !s.closed)) hide(peerName);
  }
}

pc.ontrack = ({track, transceiver}) => {
  const {peerName} = sections.find(s => s.mid === transceiver.mid);
  show(peerName, peerName, track, pc);
};

pc.onconnectionstatechange = () => {
  if (pc.connectionState === 'failed') {
    inOrder(async () => {
      Object.assign(transport, await ask('restartTransport', {id: transportId}));
      await negotiate();
    });
  }
};

// negotiate tells the browser what comes, the server on the first time who the browser is, and
// then the server that it may send.
async function negotiate() {
  if (!sections.length) return;
  await pc.setRemoteDescription({type: 'offer', sdp: offer()});
  await pc.setLocalDescription();
  if (!introduced) {
    introduced = true;
    const [, algorithm, value] = /^a=fingerprint:(\S+) (\S+)/m.exec(pc.localDescription.sdp);
    tell('updateTransport', {
      id: transportId, dtlsParameters: {role: 'client', fingerprints: [{algorithm, value: value.toUpperCase()}]},
    });
  }
  for (const s of sections.filter(s => !s.enabled && !s.closed)) {
    s.enabled = true;
    await ask('enableConsumer', {id: s.id, transportId, paused: false, preferredProfile: 'default'});
  }
}

function offer() {
  const {algorithm, value} = transport.dtlsParameters.fingerprints.at(-1);
  return [
    'v=0', `o=- 1 ${++version} IN IP4 0.0.0.0`, 's=-', 't=0 0', 'a=ice-lite',
    `a=fingerprint:${algorithm} ${value}`, `a=group:BUNDLE ${sections.map(s => s.mid).join(' ')}`,
    ...sections.flatMap(describe),
  ].map(line => `${line}\r\n`).join('');
}

function describe({mid, closed, kind, rtpParameters: {codecs, encodings: [{ssrc, rtx}], rtcp}}) {
  const {iceParameters: ice, iceCandidates} = transport;
  const lines = [
    `m=${kind} 7 UDP/TLS/RTP/SAVPF ${codecs.map(c => c.payloadType).join(' ')}`,
    'c=IN IP4 127.0.0.1', `a=mid:${mid}`, `a=${closed ? 'inactive' : 'sendonly'}`, 'a=setup:actpass',
    `a=ice-ufrag:${ice.usernameFragment}`, `a=ice-pwd:${ice.password}`,
    ...iceCandidates.filter(c => c.protocol === 'udp').map(c =>
      `a=candidate:${c.foundation} 1 udp ${c.priority} ${c.ip} ${c.port} typ ${c.type}`),
    'a=end-of-candidates', 'a=rtcp-mux', 'a=rtcp-rsize',
  ];
  for (const c of codecs) {
    const channels = c.channels > 1 ? `/${c.channels}` : '';
    lines.push(`a=rtpmap:${c.payloadType} ${c.mimeType.split('/')[1]}/${c.clockRate}${channels}`);
    const parameters = Object.entries(c.parameters ?? {}).map(([key, value]) => `${key}=${value}`);
    if (parameters.length) lines.push(`a=fmtp:${c.payloadType} ${parameters.join(';')}`);
    for (const {type, parameter} of c.rtcpFeedback ?? []) {
      lines.push(`a=rtcp-fb:${c.payloadType} ${type}${parameter ? ` ${parameter}` : ''}`);
    }
  }
  if (closed) return lines;
  if (rtx?.ssrc) lines.push(`a=ssrc-group:FID ${ssrc} ${rtx.ssrc}`);
  for (const number of [ssrc, rtx?.ssrc]) {
    if (number) lines.push(`a=ssrc:${number} cname:${rtcp?.cname ?? mid}`);
  }
  return lines;
}
