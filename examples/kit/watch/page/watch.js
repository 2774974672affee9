// What the pages have in common, and no protocol: videos, a line that says how things are,
// a log, and a field to talk to the bot.

const $ = id => document.getElementById(id);

export const log = text => $('log').append(text, '\n');
export const state = text => { $('state').textContent = text; };
export const randomId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)),
  b => b.toString(16).padStart(2, '0')).join('');

const failed = e => log(`failed: ${e?.message ?? e}`);
addEventListener('error', failed);
addEventListener('unhandledrejection', ({reason}) => failed(reason));

// The address of the server that the page comes from, with another scheme.
export const server = `${location.protocol.replace('http', 'ws')}//${location.host}`;

// inOrder carries out steps one after another, so that what a peer has sent is dealt with
// in the order in which it came, though each step waits for the browser.
let last = Promise.resolve();
export function inOrder(step) {
  last = last.then(step).catch(failed);
}

const figures = new Map(); // by the source of what they show

// show adds a track to the video of a source, which comes through a peer connection. It begins
// silent, as browsers want it.
export function show(source, name, track, pc) {
  if (!figures.has(source)) {
    const video = Object.assign(document.createElement('video'), {
      muted: true, autoplay: true, playsInline: true, controls: true, srcObject: new MediaStream(),
    });
    const caption = document.createElement('figcaption');
    const figure = document.createElement('figure');
    figure.append(video, caption);
    $('videos').append(figure);
    figures.set(source, {figure, video, caption, name, pc});
    log(`${name} sends`);
  }
  const {srcObject: stream} = figures.get(source).video;
  for (const old of stream.getTracks()) {
    if (old.kind === track.kind) stream.removeTrack(old);
  }
  stream.addTrack(track);
}

// hide ends the video of a source, if it has one.
export function hide(source) {
  const shown = figures.get(source);
  if (!shown) return;
  shown.figure.remove();
  figures.delete(source);
  log(`${shown.name} has stopped`);
}

setInterval(() => {
  for (const {video: v, caption, name, pc} of figures.values()) {
    const picture = v.videoWidth && `${v.videoWidth} × ${v.videoHeight}, ${Math.floor(v.currentTime)} s`;
    caption.textContent = `${name}, ${pc.connectionState}${picture ? `: ${picture}` : ''}`;
  }
}, 500);

// talk lets the user talk. say sends a text and throws when it cannot.
export function talk(say) {
  $('talk').hidden = false;
  $('talk').onsubmit = async e => {
    e.preventDefault();
    const text = $('words').value;
    $('words').value = '';
    log(`you: ${text}`);
    try {
      await say(text);
    } catch (reason) {
      failed(reason);
    }
  };
}

// ended says that nothing more happens on this page.
export function ended(why) {
  for (const source of [...figures.keys()]) hide(source);
  $('talk').hidden = true;
  state(`${why || 'the connection is closed'}; reload the page to try again`);
}
