// A member of a group of Galène who sends nothing, gets what the others send, and talks to
// one of them.

import {ended, hide, inOrder, log, randomId, server, show, state, talk} from '/watch.js';

const bot = 'publisher';
const group = decodeURIComponent(location.pathname).replace(/^\/group\//, '').replace(/\/$/, '');
const id = randomId();
const users = new Map(); // names by id
const streams = new Map(); // what others send, by id
let username = '', configuration = {};

// The status of the group says where its WebSocket is.
const status = await (await fetch('.status')).json();
const socket = new WebSocket(status.endpoint ?? `${server}/ws`);
const send = message => socket.send(JSON.stringify(message));
socket.onopen = () => send({type: 'handshake', version: ['2'], id});
socket.onmessage = ({data}) => inOrder(() => handle(JSON.parse(data)));
socket.onclose = ({reason}) => {
  for (const stream of [...streams.keys()]) close(stream);
  ended(reason);
};

async function handle(m) {
  switch (m.type) {
    case 'handshake':
      if (!m.version?.includes('2')) {
        socket.close(1000);
        throw new Error(`the server speaks version ${m.version}`);
      }
      return send({type: 'join', kind: 'join', group, username: `browser-${id.slice(0, 4)}`, password: ''});
    case 'ping':
      return send({type: 'pong'});
    case 'joined':
      return joined(m);
    case 'user':
      if (m.kind === 'delete') users.delete(m.id);
      else users.set(m.id, m.username);
      return;
    case 'chat':
      return log(`${m.username || 'the server'}: ${m.value}`);
    case 'usermessage': // others may send anything, only what is privileged is to be believed
      return m.privileged && log(`${m.kind}: ${m.value}`);
    case 'offer':
      return offered(m);
    case 'ice':
      streams.get(m.id)?.candidates.push(m.candidate);
      return addCandidates(m.id);
    case 'close': // also of streams that were never offered
      return close(m.id);
  }
}

function joined(m) {
  if (m.kind === 'fail') {
    log(`refused: ${m.value}`);
    return socket.close(1000);
  }
  if (m.kind === 'leave') return socket.close(1000);
  configuration = m.rtcConfiguration ?? configuration;
  if (m.kind !== 'join') return;
  username = m.username;
  state(`in the group ${m.status?.displayName ?? group} as ${username}`);
  send({type: 'request', request: {'': ['audio', 'video']}});
  talk(text => {
    const [dest] = [...users].find(([, name]) => name === bot) ?? [];
    if (!dest) throw new Error(`${bot} is not here`);
    send({type: 'chat', source: id, username, dest, value: text});
  });
}

// offered answers the offer of a stream: its first one, or another when something has changed.
async function offered(m) {
  if (m.replace) close(m.replace);
  if (!streams.has(m.id)) {
    const pc = new RTCPeerConnection(configuration);
    streams.set(m.id, {pc, candidates: []});
    pc.ontrack = ({track}) => show(m.id, m.username || 'somebody', track, pc);
    pc.onicecandidate = ({candidate}) => { // in order, which is behind the answer; the last one is empty
      if (candidate?.candidate) inOrder(() => send({type: 'ice', id: m.id, candidate}));
    };
    pc.onconnectionstatechange = () => {
      if (pc.connectionState === 'failed') send({type: 'renegotiate', id: m.id});
    };
  }
  const {pc} = streams.get(m.id);
  try {
    await pc.setRemoteDescription({type: 'offer', sdp: m.sdp});
    await pc.setLocalDescription();
  } catch (e) {
    send({type: 'abort', id: m.id});
    throw e;
  }
  send({type: 'answer', id: m.id, sdp: pc.localDescription.sdp});
  await addCandidates(m.id);
}

// addCandidates adds the candidates that belong to the offer that is there. When a connection
// starts again, they come before it.
async function addCandidates(id) {
  const stream = streams.get(id);
  const sdp = stream?.pc.remoteDescription?.sdp;
  if (!sdp) return;
  const early = c => {
    const [, ufrag] = / ufrag (\S+)/.exec(c.candidate) ?? [];
    return ufrag && !sdp.includes(`a=ice-ufrag:${ufrag}\r\n`);
  };
  const [now, later] = [stream.candidates.filter(c => !early(c)), stream.candidates.filter(early)];
  stream.candidates = later;
  for (const candidate of now) await stream.pc.addIceCandidate(candidate);
}

function close(id) {
  streams.get(id)?.pc.close();
  streams.delete(id);
  hide(id);
}
