'use strict';

// What follows # in the address: token, objects=1 to write descriptions and candidates as
// objects rather than strings, and join=1 to join at once. Videos are silent then, because
// browsers play sound only for users who have touched the page.

const $ = id => document.getElementById(id);
const options = new URLSearchParams(location.hash.slice(1));
$('token').value = options.get('token') ?? '';

let session;

const log = text => { $('log').textContent += text + '\n'; };

// show gives a stream a video element for as long as it has tracks.
function show(stream) {
  if ([...$('videos').children].some(v => v.srcObject === stream)) return;
  const video = Object.assign(document.createElement('video'), {
    autoplay: true, playsInline: true, controls: true, muted: options.has('join'),
  });
  video.dataset.stream = stream.id;
  video.srcObject = stream;
  stream.onremovetrack = () => { if (!stream.getTracks().length) video.remove(); };
  $('videos').append(video);
}

async function join() {
  // First, because the server waits for the token for seconds only, and the user may take longer to agree.
  const media = $('camera').checked ? await navigator.mediaDevices.getUserMedia({audio: true, video: true}) : null;
  session = new MSESession(`${location.protocol.replace('http', 'ws')}//${location.host}/mse`,
    {objects: options.has('objects')});
  session.addEventListener('failure', e => log(e.detail));
  session.addEventListener('closed', ({detail: {code, reason}}) => {
    log(`closed ${code} ${reason}`.trim());
    for (const track of media?.getTracks() ?? []) track.stop();
    $('videos').replaceChildren();
    $('state').textContent = '';
    $('leave').disabled = true;
    $('join').disabled = false;
  });
  session.pc.onconnectionstatechange = () => { $('state').textContent = session.pc.connectionState; };
  session.pc.ontrack = ({track, streams: [stream]}) => {
    log(`${track.kind} of ${stream.id}`);
    show(stream);
  };
  session.data = session.pc.createDataChannel('data');
  session.data.onmessage = e => log(`data: ${e.data}`);
  for (const track of media?.getTracks() ?? []) session.addTrack(track, media);
  try {
    await session.join($('token').value);
  } catch (e) {
    session.close();
    throw e;
  }
  log('started');
  $('leave').disabled = false;
}

$('join').onclick = async () => {
  $('join').disabled = true;
  try {
    await join();
  } catch (e) {
    log(String(e));
    $('join').disabled = false;
  }
};
$('leave').onclick = () => session.leave();
if (options.has('join')) $('join').click();
