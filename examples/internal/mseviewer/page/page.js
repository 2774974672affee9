'use strict';

const $ = id => document.getElementById(id);
$('token').value = new URLSearchParams(location.hash.slice(1)).get('token') ?? '';

const log = text => { $('log').textContent += text + '\n'; };

$('join').onclick = async () => {
  const session = new MSESession(`${location.protocol.replace('http', 'ws')}//${location.host}/mse`);
  session.addEventListener('closed', e => log(`closed ${e.detail}`));
  session.pc.onconnectionstatechange = () => { $('state').textContent = session.pc.connectionState; };
  session.pc.ontrack = ({track, streams: [stream]}) => {
    log(`${track.kind} of ${stream.id}`);
    let video = document.querySelector(`video[data-stream="${stream.id}"]`);
    if (!video) {
      video = Object.assign(document.createElement('video'), {autoplay: true, playsInline: true, controls: true});
      video.dataset.stream = stream.id;
      $('videos').append(video);
      video.srcObject = stream;
      stream.onremovetrack = () => { if (!stream.getTracks().length) video.remove(); };
    }
  };
  session.data = session.pc.createDataChannel('data');
  session.data.onmessage = e => log(`data: ${e.data}`);
  if ($('camera').checked) {
    const media = await navigator.mediaDevices.getUserMedia({audio: true, video: true});
    for (const track of media.getTracks()) session.pc.addTrack(track, media);
  }
  window.session = session;
  try {
    await session.join($('token').value);
    log('started');
  } catch (e) {
    log(String(e));
  }
};
