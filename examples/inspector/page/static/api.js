// The inspector's API.

async function check(response) {
  if (response.ok) {
    return response;
  }
  let why = response.statusText;
  try {
    why = (await response.json()).error ?? why;
  } catch {
    // Not the API's own answer.
  }
  throw new Error(why);
}

const json = async url => (await check(await fetch(url))).json();
const path = id => `api/recordings/${encodeURIComponent(id)}`;

export const protocols = () => json('api/protocols');
export const recordings = () => json('api/recordings');
export const detail = (id, number) => json(`${path(id)}/arrows/${number}`);
export const exportURL = id => `${path(id)}/export`;

export async function remove(id) {
  await check(await fetch(path(id), {method: 'DELETE'}));
}

// add sends a file and returns the id of its recording.
export async function add(file, protocol = '') {
  const query = new URLSearchParams({name: file.name ?? '', protocol});
  return (await (await check(await fetch(`api/recordings?${query}`, {method: 'POST', body: file}))).json()).id;
}

// stream follows a recording. The browser connects again by itself, and goes on where it was.
// It returns a function that ends it.
export function stream(id, {arrows, cleared, dropped, state}) {
  const source = new EventSource(`${path(id)}/arrows`);
  source.addEventListener('open', () => state('open'));
  source.addEventListener('error', () => state(source.readyState === EventSource.CLOSED ? 'closed' : 'waiting'));
  source.addEventListener('arrows', e => arrows(JSON.parse(e.data)));
  source.addEventListener('cleared', () => cleared());
  source.addEventListener('dropped', e => dropped(JSON.parse(e.data).oldest));
  source.addEventListener('end', () => {
    source.close();
    state('end');
  });
  return () => source.close();
}
