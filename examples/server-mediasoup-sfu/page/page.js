'use strict';

// What follows # in the address: room and name, to be in the form from the beginning.

const $ = id => document.getElementById(id);
const options = new URLSearchParams(location.hash.slice(1));
$('room').value = options.get('room') ?? 'lobby';
$('name').value = options.get('name') ?? `guest-${Math.random().toString(36).slice(2, 6)}`;

const log = text => { $('log').textContent += text + '\n'; };

if (typeof mediasoupClient === 'undefined') {
  $('missing').hidden = $('how').hidden = false;
  $('join').disabled = true;
}

let session;

// show gives a peer a figure for as long as it is in the room, and what it sends a place in it.
function show(peer) {
  const video = Object.assign(document.createElement('video'), {autoplay: true, playsInline: true, controls: true});
  const figure = document.createElement('figure');
  figure.dataset.peer = peer.name;
  video.srcObject = new MediaStream();
  const caption = document.createElement('figcaption');
  caption.textContent = peer.name;
  figure.append(video, caption);
  $('peers').append(figure);
  return {figure, stream: video.srcObject};
}

class Session {
  constructor(protoo, room, media) {
    Object.assign(this, {protoo, room, media, transports: {}, producers: []});
    room.on('request', (request, callback, errback) =>
      protoo.request('mediasoup-request', request).then(callback, errback));
    room.on('notify', notification => {
      try {
        protoo.notify('mediasoup-notification', notification);
      } catch {
        // The connection is closed, which has been said.
      }
    });
    room.on('newpeer', peer => this.meet(peer));
    room.on('close', (originator, appData) => this.end(`room closed, ${originator} ${JSON.stringify(appData) ?? ''}`));
    protoo.addEventListener('notification', ({detail: {method, data}}) => {
      if (method === 'mediasoup-notification') room.receiveNotification(data);
    });
    protoo.addEventListener('closed', ({detail: {code, reason}}) => {
      log(`closed ${code} ${reason}`.trim());
      if (!room.closed) room.remoteClose('connection closed');
      this.end();
    });
  }

  async join(name) {
    const peers = await this.room.join(name, {displayName: name});
    for (const direction of ['send', 'recv']) {
      const transport = this.room.createTransport(direction);
      transport.on('connectionstatechange', state => { $('state').textContent = `${direction} ${state}`; });
      this.transports[direction] = transport;
    }
    for (const peer of peers) this.meet(peer);
    // Audio first: mediasoup-client counts on that in Chromium, where a room has many header extensions.
    for (const track of [...this.media?.getAudioTracks() ?? [], ...this.media?.getVideoTracks() ?? []]) {
      if (!this.room.canSend(track.kind)) continue;
      const producer = this.room.createProducer(track);
      await producer.send(this.transports.send);
      this.producers.push(producer);
    }
  }

  meet(peer) {
    log(`${peer.name} is here`);
    const {figure, stream} = show(peer);
    peer.on('close', () => {
      log(`${peer.name} has gone`);
      figure.remove();
    });
    const consume = async consumer => {
      if (!consumer.supported) return;
      consumer.on('close', () => consumer.track && stream.removeTrack(consumer.track));
      try {
        stream.addTrack(await consumer.receive(this.transports.recv));
        log(`${consumer.kind} of ${peer.name}`);
      } catch (e) {
        log(`${consumer.kind} of ${peer.name}: ${e}`);
      }
    };
    peer.on('newconsumer', consume);
    for (const consumer of peer.consumers) consume(consumer);
  }

  pause() {
    const paused = this.producers.some(p => !p.locallyPaused);
    for (const p of this.producers) {
      if (paused) p.pause();
      else p.resume();
    }
    return paused;
  }

  leave() {
    this.room.leave();
    this.protoo.close();
  }

  end(why) {
    if (why) log(why);
    if (session !== this) return;
    session = undefined;
    this.protoo.close();
    for (const track of this.media?.getTracks() ?? []) track.stop();
    $('peers').replaceChildren();
    $('state').textContent = '';
    $('pause').textContent = 'Pause';
    for (const id of ['pause', 'restart', 'leave']) $(id).disabled = true;
    $('join').disabled = false;
  }
}

async function join() {
  // First, because the server waits for the join for seconds only, and the user may take longer to agree.
  const media = $('camera').checked ? await navigator.mediaDevices.getUserMedia({audio: true, video: true}) : null;
  const query = new URLSearchParams({roomId: $('room').value, peerName: $('name').value});
  const protoo = new Protoo(`${location.protocol.replace('http', 'ws')}//${location.host}/?${query}`);
  const mine = session = new Session(protoo, new mediasoupClient.Room(), media);
  try {
    await protoo.opened;
    await mine.join($('name').value);
  } catch (e) {
    mine.end(String(e));
    return;
  }
  log('joined');
  for (const id of ['pause', 'restart', 'leave']) $(id).disabled = false;
}

$('form').onsubmit = async e => {
  e.preventDefault();
  $('join').disabled = true;
  try {
    await join();
  } catch (e) {
    log(String(e));
    $('join').disabled = false;
  }
};
$('pause').onclick = () => { $('pause').textContent = session.pause() ? 'Resume' : 'Pause'; };
$('restart').onclick = () => session.room.restartIce();
$('leave').onclick = () => session.leave();
