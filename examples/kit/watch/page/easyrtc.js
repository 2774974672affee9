// A client of EasyRTC that calls a user of its room, with a data channel to talk over.

import {ended, hide, inOrder, log, server, show, state, talk} from '/watch.js';

const options = new URLSearchParams(location.search);
const room = options.get('room') ?? 'default', user = options.get('user') ?? 'publisher';
let self, iceServers, call;

// Packets are those of Engine.IO 4: 0 begins, 2 asks for a 3, 4 carries a packet of Socket.IO.
// Of these 0 connects, 1 disconnects, 2 is an event, and 3 what is acknowledged to one.
const socket = new WebSocket(`${server}/socket.io/?EIO=4&transport=websocket`);
const acknowledged = []; // by the number of the event
socket.onmessage = ({data}) => {
  if (data === '2') return socket.send('3');
  if (data[0] === '0') return socket.send('40');
  if (data.startsWith('40')) return inOrder(login);
  if (data === '41') return socket.close();
  const [, type, number, json] = /^4([23])(\d*)(.*)$/s.exec(data) ?? [];
  if (type === '3') {
    acknowledged[number]?.(JSON.parse(json)[0]);
    delete acknowledged[number];
  } else if (type === '2') {
    if (number) socket.send(`43${number}[{"msgType":"ack"}]`);
    inOrder(() => handle(JSON.parse(json)[1]));
  }
};
socket.onclose = () => {
  end();
  ended();
};

// emit sends an event, and returns the answer to it.
async function emit(event, message) {
  const answer = await new Promise(resolve => {
    socket.send(`42${acknowledged.push(resolve) - 1}${JSON.stringify([event, message])}`);
  });
  if (answer.msgType === 'error') throw new Error(answer.msgData.errorText);
  return answer.msgData;
}

const command = (msgType, more) => emit('easyrtcCmd', {msgType, ...more});
const signal = (msgType, msgData) => command(msgType, {targetEasyrtcid: call.id, msgData});

async function login() {
  const token = await emit('easyrtcAuth', {msgType: 'authenticate', msgData: {
    apiVersion: '1.1.1-beta', applicationName: 'default', username: 'browser', roomJoin: {[room]: {roomName: room}},
  }});
  self = token.easyrtcid;
  ({iceServers} = token.iceConfig);
  state(`in the room ${room} as ${self}, waiting for ${user}`);
  await meet(token.roomData);
}

async function handle({msgType, msgData, senderEasyrtcid: sender}) {
  if (msgType === 'roomData') return meet(msgData.roomData);
  if (sender === undefined) return;
  if (sender !== call?.id) return msgType === 'offer' && command('reject', {targetEasyrtcid: sender});
  switch (msgType) {
    case 'offer': // the callee wants something else; of two that cross, one wins
      if (call.pc.signalingState === 'have-local-offer' && sender < self) return;
      await call.pc.setRemoteDescription(msgData);
      await call.pc.setLocalDescription();
      await signal('answer', call.pc.localDescription.toJSON());
      return sendCandidates();
    case 'answer':
      await call.pc.setRemoteDescription(msgData);
      return sendCandidates();
    case 'candidate':
      return msgData.candidate && call.pc.addIceCandidate({
        candidate: msgData.candidate, sdpMid: msgData.id, sdpMLineIndex: msgData.label,
      });
    case 'reject':
    case 'hangup':
      state(`${user} has ended the call`);
      return end();
    case 'dataChannelPrimed': // it has got ours
      return talk(text => call.channel.send(JSON.stringify({msgType: 'words', msgData: text})));
  }
}

// meet looks for the user among those who are in the room or enter it.
async function meet(roomData) {
  const {clientList, clientListDelta} = roomData[room] ?? {};
  if (call && clientListDelta?.removeClient?.[call.id]) {
    state(`${user} has gone`);
    end();
  }
  const entry = Object.values(clientList ?? clientListDelta?.updateClient ?? {}).find(e => e.username === user);
  if (!entry || call) return;
  try {
    await start(entry.easyrtcid);
  } catch (e) {
    end();
    throw e;
  }
}

async function start(id) {
  const pc = new RTCPeerConnection({iceServers});
  const mine = call = {id, pc, channel: pc.createDataChannel('dc'), candidates: [], answered: false};
  state(`calling ${user}`);
  pc.addTransceiver('audio', {direction: 'recvonly'});
  pc.addTransceiver('video', {direction: 'recvonly'});
  pc.ontrack = ({track}) => show(id, user, track, pc);
  pc.onicecandidate = ({candidate}) => {
    if (!candidate?.candidate) return;
    call.candidates.push(candidate);
    inOrder(() => mine === call && call.answered && sendCandidates());
  };
  pc.onconnectionstatechange = () => {
    if (mine !== call) return;
    state(`in a call with ${user}`);
    if (pc.connectionState === 'failed') {
      inOrder(() => command('hangup', {targetEasyrtcid: id}));
      end();
    }
  };
  // Both sides say through the channel that it works, and through the server that they have heard it.
  call.channel.onopen = () => mine.channel.send('dataChannelPrimed');
  call.channel.onmessage = ({data}) => {
    if (data === 'dataChannelPrimed') {
      emit('easyrtcMsg', {msgType: 'dataChannelPrimed', msgData: '', targetEasyrtcid: id});
    } else {
      log(`${user}: ${JSON.parse(data).msgData}`);
    }
  };
  await pc.setLocalDescription();
  await signal('offer', pc.localDescription.toJSON());
}

// sendCandidates sends those that have waited for the answer, as they have to.
async function sendCandidates() {
  call.answered = true;
  for (const c of call.candidates.splice(0)) {
    await signal('candidate', {type: 'candidate', label: c.sdpMLineIndex, id: c.sdpMid, candidate: c.candidate});
  }
}

function end() {
  if (!call) return;
  call.pc.close();
  hide(call.id);
  call = undefined;
}
