import {createConnector, deviceId} from './js/server_connector.js';

const log = text => document.getElementById('log').append(text, '\n');

document.title = document.getElementById('title').textContent = deviceId();

const connector = await createConnector();
const {infraConfig} = await connector.requestDevice(deviceId());
const peer = new RTCPeerConnection({iceServers: infraConfig.ice_servers});

// Channels that the client opens must exist before it answers the first offer.
const input = peer.createDataChannel('input-channel');
let control = null;

peer.ondatachannel = event => {
  if (event.channel.label === 'device-control') {
    control = event.channel;
    control.onmessage = message => log(`device: ${message.data}`);
  }
};

peer.onconnectionstatechange = () => log(`connection ${peer.connectionState}`);

peer.ontrack = event => {
  const stream = event.streams[0];
  if (event.track.kind !== 'video') {
    document.getElementById('sound').onclick = () => play(stream);
    return;
  }
  const video = document.createElement('video');
  video.id = stream.id;
  video.muted = video.autoplay = video.playsInline = true;
  video.srcObject = stream;
  for (const [name, down] of [['pointerdown', 1], ['pointermove', 1], ['pointerup', 0]]) {
    video.addEventListener(name, e => touch(video, e, down));
  }
  document.getElementById('displays').append(video);
  stream.onremovetrack = () => video.remove();
};

function play(stream) {
  const audio = new Audio();
  audio.srcObject = stream;
  audio.play();
}

// The device offers first, and again when a display comes or goes. Its candidates wait
// until its description is there, ours until the answer is out.
let work = Promise.resolve();
connector.onDeviceMsg(message => {
  work = work.then(() => handle(message)).catch(e => log(`failed: ${e.message}`));
});

async function handle(message) {
  switch (message.type) {
    case 'offer':
      await peer.setRemoteDescription(message);
      await peer.setLocalDescription();
      await connector.sendToDevice({type: 'answer', sdp: peer.localDescription.sdp});
      break;
    case 'answer':
      await peer.setRemoteDescription(message);
      break;
    case 'ice-candidate':
      await peer.addIceCandidate({
        candidate: message.candidate, sdpMid: message.mid, sdpMLineIndex: message.mLineIndex,
      });
      break;
    case 'error':
      log(`device: ${message.error}`);
  }
}

peer.onicecandidate = ({candidate}) => {
  if (candidate?.candidate) { // an empty one would end the connection on the device
    work = work.then(() => connector.sendToDevice({type: 'ice-candidate', candidate}));
  }
};

await connector.sendToDevice({type: 'request-offer', ice_servers: infraConfig.ice_servers});
connector.expectMessagesSoon(5000);

// send does nothing while a channel is not open.
function send(channel, message) {
  if (channel?.readyState === 'open') {
    channel.send(JSON.stringify(message));
  }
}

function touch(video, event, down) {
  if (event.type === 'pointermove' && event.buttons === 0) {
    return;
  }
  event.preventDefault();
  send(input, {
    type: 'multi-touch', id: [event.pointerId],
    x: [Math.round(event.offsetX * video.videoWidth / video.clientWidth)],
    y: [Math.round(event.offsetY * video.videoHeight / video.clientHeight)],
    down, device_label: video.id,
  });
}

for (const type of ['keydown', 'keyup']) {
  document.addEventListener(type, e => send(input, {type: 'keyboard', event_type: type, keycode: e.code}));
}

for (const button of document.querySelectorAll('button[data-command]')) {
  const press = state => () => send(control, {command: button.dataset.command, button_state: state});
  button.addEventListener('pointerdown', press('down'));
  button.addEventListener('pointerup', press('up'));
}
