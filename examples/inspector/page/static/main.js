// The inspector's page: what comes in, what is asked for, what is shown.

import * as api from './api.js';
import {Detail} from './detail.js';
import {Diagram, rowHeight} from './diagram.js';
import {byId, el, press, pressed, toast} from './dom.js';
import {plural} from './format.js';
import {listen, nameOf, table} from './keys.js';
import {parse, terms} from './query.js';
import {Store} from './store.js';

const store = new Store();
let recordings = [];
let current = null; // of recordings
let stop = () => {}; // ends the stream
let paused = false;
let connection = 'none'; // of the stream

const diagram = new Diagram({
  box: byId('diagram'), head: byId('head'), rows: byId('rows'), store,
  onselect: number => select(number),
  onfollow: on => follow(on),
  onconn: name => chooseConn(store.filter.conn === name ? '' : name),
});
const detail = new Detail({
  pane: byId('detail'),
  onstep: step => stepInConn(step),
  onclose: () => closeDetail(),
});

// Recordings.

async function load(id, number) {
  recordings = await api.recordings();
  const list = byId('recordings');
  list.replaceChildren(...recordings.map(r =>
    el('option', {value: r.id}, r.live ? r.name : `${r.name} (${r.protocol})`)));
  list.disabled = recordings.length === 0;
  const asked = recordings.find(r => r.id === id);
  open(asked ?? recordings[0] ?? null, asked ? number : 0);
}

function open(recording, number = 0) {
  stop();
  stop = () => {};
  current = recording;
  pause(false);
  closeDetail();
  store.reset();
  forgetConns();
  byId('protocol').textContent = recording?.protocol ?? '';
  byId('recordings').value = recording?.id ?? '';
  byId('clear').textContent = recording && !recording.live ? 'Remove' : 'Clear';
  byId('clear').title = recording && !recording.live ? 'Remove the recording' : 'Forget all arrows';
  byId('clear').disabled = !recording;
  byId('pause').disabled = byId('follow').disabled = !recording?.live;
  if (recording) {
    byId('export').href = api.exportURL(recording.id);
  } else {
    byId('export').removeAttribute('href');
  }
  document.title = recording ? `${recording.name} – Inspector` : 'Inspector';
  follow(recording?.live ?? false);
  lamp('none');
  if (recording) {
    lamp('waiting');
    stop = api.stream(recording.id, {
      arrows: arrows => {
        take(arrows);
        if (number && store.arrows.at(-1).number >= number) {
          select(number);
          number = 0;
        }
      },
      cleared: () => {
        closeDetail();
        pause(false);
        store.reset();
        forgetConns();
        current.arrows = 0;
        show();
      },
      dropped: oldest => {
        if (oldest - store.arrows[0]?.number > store.arrows.length / 20) { // not for every single one
          const rows = store.rows.length;
          store.drop(oldest);
          show();
          diagram.box.scrollTop -= (rows - store.rows.length) * rowHeight; // the view stays
        }
      },
      state: lamp,
    });
  }
  history.replaceState(null, '', recording ? `#${recording.id}` : location.pathname);
  show();
}

// lamp tells how the stream is.
function lamp(state) {
  connection = state;
  const says = {
    none: 'not connected', open: current?.live ? 'recording' : 'loading', waiting: 'connecting',
    end: 'complete', closed: 'the inspector does not answer',
  };
  byId('lamp').className = `lamp ${state}${current?.live ? ' live' : ''}`;
  byId('lamp').title = says[state];
  empty();
}

// Connections to choose from.

const conns = new Map(); // options by name

function forgetConns() {
  store.filter.conn = '';
  conns.clear();
  byId('conn').replaceChildren(el('option', {value: ''}, 'all connections'));
}

// call writes what a connection is called: by its client, or by its address.
function call({name, who, about}) {
  const more = who || about;
  conns.get(name).textContent = more && more !== name ? `${name} ${more}` : name;
}

// take is for arrows that come.
function take(arrows) {
  store.add(arrows);
  current.arrows = store.arrows.length;
  for (const a of arrows) {
    const c = store.conns.get(a.conn);
    if (c && !conns.has(c.name)) {
      conns.set(c.name, el('option', {value: c.name}));
      byId('conn').append(conns.get(c.name));
      call(c);
    } else if (a.who) {
      call(c);
    }
  }
  store.advance();
  diagram.grow();
  counts();
}

// show shows everything anew.
function show() {
  store.refilter();
  diagram.refresh();
  counts();
}

function counts() {
  const {rows, arrows, problems, refusals, filtered} = store;
  byId('problem-count').textContent = problems === 0 ? 'no problems' : plural(problems, 'problem');
  byId('problems').classList.toggle('some', problems > 0);
  byId('next-problem').disabled = byId('previous-problem').disabled = problems === 0;
  byId('refusals').hidden = refusals === 0;
  byId('refusals').textContent = plural(refusals, 'refusal');
  byId('shown').textContent = rows.length === filtered ? plural(rows.length, 'arrow')
    : `${rows.length.toLocaleString('en')} of ${plural(filtered, 'arrow')}`;
  const late = arrows.length - filtered;
  byId('pause').textContent = paused ? `Resume${late > 0 ? ` (${late.toLocaleString('en')} new)` : ''}` : 'Pause';
  empty();
}

// empty says why there is nothing to see.
function empty() {
  const p = byId('empty');
  p.hidden = store.rows.length > 0;
  if (!current) {
    p.textContent = 'There is no recording. Drop a file here, or import one.';
  } else if (store.arrows.length > 0) {
    p.textContent = 'Nothing is left by the filter.';
  } else if (connection === 'closed') {
    p.textContent = 'The inspector does not answer.';
  } else if (current.live && connection === 'open' && !current.arrows) {
    p.textContent = `Nothing has come yet. Point a client at ${current.listen ?? 'the proxy'} instead of the server.`;
  } else {
    p.textContent = connection === 'end' ? 'The recording is empty.' : 'Loading …';
  }
}

function follow(on) {
  diagram.follow = on;
  press(byId('follow'), on);
  diagram.schedule();
}

function pause(on) {
  paused = on;
  press(byId('pause'), on);
  store.limit = on ? store.arrows.length : Infinity;
  if (on) {
    follow(false);
  } else {
    store.advance();
    diagram.grow();
  }
  counts();
}

// Selection.

const here = () => store.find(diagram.selected);

function select(number) {
  const i = store.find(number);
  if (i < 0) {
    return;
  }
  const {arrow} = store.rows[i];
  if (i < store.rows.length - 1) {
    follow(false);
  }
  const id = current.id;
  const opening = byId('detail').hidden;
  detail.show(arrow, store.start, () => api.detail(id, number));
  byId('divider').hidden = false;
  if (opening) {
    diagram.refresh(); // the lanes have less room
  }
  diagram.select(number);
  history.replaceState(null, '', `#${id}/${number}`);
}

function selectRow(i) {
  if (i >= 0 && i < store.rows.length) {
    select(store.rows[i].arrow.number);
  }
}

// move goes some rows on. What was selected may not be shown any more: then from the top of the view.
function move(step) {
  const i = here();
  const last = store.rows.length - 1;
  const to = i < 0 ? Math.ceil(byId('diagram').scrollTop / rowHeight) : i + step;
  selectRow(Math.min(Math.max(to, 0), last));
}

function stepInConn(step) {
  const i = here();
  if (i >= 0) {
    const {conn} = store.rows[i].arrow;
    selectRow(store.seek(i + step, step, a => a.conn === conn));
  }
}

const stepProblem = step => stepTo(step, a => a.wrong, 'problem');
const nextRefusal = () => stepTo(1, a => a.refusal, 'refusal');

// stepTo goes to the next row in a direction for which a test says yes.
function stepTo(step, test, word) {
  const i = here();
  let next = store.seek(i < 0 ? (step > 0 ? 0 : store.rows.length - 1) : i + step, step, test);
  if (next < 0) { // round the corner
    next = store.seek(step > 0 ? 0 : store.rows.length - 1, step, test);
  }
  if (next < 0) {
    toast(`There is no ${word} that the filter lets through`);
  }
  selectRow(next);
}

function closeDetail() {
  if (!byId('detail').hidden) {
    detail.hide();
    byId('divider').hidden = true;
    diagram.refresh();
    byId('diagram').focus({preventScroll: true});
  }
  diagram.select(0);
  if (current) {
    history.replaceState(null, '', `#${current.id}`);
  }
}

// Filter.

// refilter shows what a changed filter lets through, with the selected arrow where it was.
function refilter() {
  const {selected} = diagram;
  store.refilter();
  diagram.refresh();
  counts();
  if (selected && store.find(selected) >= 0) {
    diagram.select(selected);
  }
}

function chooseConn(name) {
  store.filter.conn = name;
  byId('conn').value = name;
  refilter();
}

function toggleKind(kind) {
  const {kinds} = store.filter;
  if (!kinds.delete(kind)) {
    kinds.add(kind);
  }
  press(byId(`kind-${kind}`), kinds.has(kind));
  refilter();
}

function acks() {
  store.filter.acks = !store.filter.acks;
  press(byId('acks'), store.filter.acks);
  refilter();
}

function problemsOnly() {
  store.filter.problems = !store.filter.problems;
  press(byId('problems-only'), store.filter.problems);
  refilter();
}

function search(text) {
  store.filter.query = parse(text);
  refilter();
}

// Files.

let chooser = Promise.resolve();

async function importFiles(files) {
  let id = null;
  for (const f of files) {
    try {
      id = await addFile(f);
    } catch (e) {
      toast(`${f.name}: ${e.message}`, true);
    }
  }
  if (id !== null) {
    await load(id);
  }
}

// addFile sends a file, and asks for its protocol if that cannot be told.
async function addFile(file) {
  try {
    return await api.add(file);
  } catch (e) {
    if (!e.message.includes('protocol')) {
      throw e;
    }
    chooser = chooser.then(() => choose(`${file.name}: ${e.message}`));
    const protocol = await chooser;
    if (!protocol) {
      throw e;
    }
    return api.add(file, protocol);
  }
}

async function choose(why) {
  byId('choose-why').textContent = why;
  byId('choose-protocol').replaceChildren(...(await api.protocols()).map(p => el('option', {value: p}, p)));
  const dialog = byId('choose');
  dialog.returnValue = '';
  dialog.showModal();
  await new Promise(resolve => dialog.addEventListener('close', resolve, {once: true}));
  return dialog.returnValue === 'open' ? byId('choose-protocol').value : '';
}

async function clear() {
  if (!current) {
    return;
  }
  try {
    await api.remove(current.id);
    if (!current.live) {
      await load('live');
    }
  } catch (e) {
    toast(e.message, true);
  }
}

function help() {
  byId('keys').replaceChildren(...table.flatMap(([keys, , about]) =>
    [el('dt', {}, ...keys.map(k => el('kbd', {}, nameOf(k)))), el('dd', {}, about)]));
  byId('terms').replaceChildren(...terms.flatMap(([term, about]) =>
    [el('dt', {}, el('code', {}, term)), el('dd', {}, about)]));
  byId('help').showModal();
}

// Wiring.

byId('recordings').onchange = e => open(recordings.find(r => r.id === e.target.value) ?? null);
byId('import').onclick = () => byId('file').click();
byId('file').onchange = e => importFiles([...e.target.files]).finally(() => { e.target.value = ''; });
byId('clear').onclick = clear;
byId('pause').onclick = () => pause(!paused);
byId('follow').onclick = () => follow(!pressed(byId('follow')));
byId('next-problem').onclick = () => stepProblem(1);
byId('previous-problem').onclick = () => stepProblem(-1);
byId('refusals').onclick = nextRefusal;
byId('acks').onclick = acks;
byId('help-button').onclick = help;
byId('search').oninput = e => search(e.target.value);
byId('conn').onchange = e => chooseConn(e.target.value);
byId('problems-only').onclick = problemsOnly;
for (const kind of ['message', 'lifecycle', 'carrier']) {
  byId(`kind-${kind}`).onclick = () => toggleKind(kind);
}

listen({
  next: () => move(1),
  previous: () => move(-1),
  nextOfConn: () => stepInConn(1),
  previousOfConn: () => stepInConn(-1),
  pageDown: () => move(diagram.page()),
  pageUp: () => move(-diagram.page()),
  first: () => selectRow(0),
  last: () => selectRow(store.rows.length - 1),
  nextProblem: () => stepProblem(1),
  previousProblem: () => stepProblem(-1),
  open: () => (here() < 0 ? move(0) : byId('detail').focus()),
  close: () => {
    if (document.activeElement === byId('search') || byId('detail').hidden) {
      byId('search').value = '';
      byId('search').blur();
      search('');
    } else {
      closeDetail();
    }
  },
  search: () => byId('search').select(),
  carrier: () => toggleKind('carrier'),
  nextRefusal,
  acks,
  problemsOnly,
  follow: () => !byId('follow').disabled && follow(!diagram.follow),
  pause: () => !byId('pause').disabled && pause(!paused),
  import: () => byId('file').click(),
  help,
});

let dragged = 0; // elements that a file is over
addEventListener('dragenter', e => {
  if (e.dataTransfer?.types.includes('Files')) {
    dragged++;
    byId('drop').hidden = false;
  }
});
addEventListener('dragleave', () => {
  dragged = Math.max(dragged - 1, 0);
  byId('drop').hidden = dragged === 0;
});
addEventListener('dragover', e => e.preventDefault());
addEventListener('drop', e => {
  e.preventDefault();
  dragged = 0;
  byId('drop').hidden = true;
  if (e.dataTransfer.files.length > 0) {
    importFiles([...e.dataTransfer.files]);
  }
});

byId('divider').onpointerdown = e => {
  const divider = byId('divider');
  divider.setPointerCapture(e.pointerId);
  divider.onpointermove = move => {
    const width = Math.min(Math.max(innerWidth - move.clientX, 280), innerWidth - 320);
    byId('detail').style.width = `${width}px`;
  };
  divider.onpointerup = () => { divider.onpointermove = null; };
};

// go shows what the address names: #recording/arrow.
async function go() {
  const [id, number] = decodeURIComponent(location.hash.slice(1)).split('/');
  if (current && current.id === id) {
    select(Number(number));
    return;
  }
  try {
    await load(id, Number(number) || 0);
  } catch (e) {
    toast(`The inspector does not answer: ${e.message}`, true);
  }
}

addEventListener('hashchange', go);
go();
