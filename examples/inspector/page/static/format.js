// Times, sizes and words.

const pad = (n, width) => String(n).padStart(width, '0');

// relative returns milliseconds since the beginning as [h:][m:]s.mmm.
export function relative(ms) {
  if (!Number.isFinite(ms)) {
    return '';
  }
  const sign = ms < 0 ? '−' : '';
  const all = Math.round(Math.abs(ms));
  const s = Math.floor(all / 1000), m = Math.floor(s / 60), h = Math.floor(m / 60);
  const fraction = pad(all % 1000, 3);
  if (h > 0) {
    return `${sign}${h}:${pad(m % 60, 2)}:${pad(s % 60, 2)}.${fraction}`;
  }
  return m > 0 ? `${sign}${m}:${pad(s % 60, 2)}.${fraction}` : `${sign}${s}.${fraction}`;
}

// delta returns milliseconds since the one before.
export function delta(ms) {
  if (!Number.isFinite(ms) || Math.abs(ms) < .5) {
    return '';
  }
  const sign = ms < 0 ? '−' : '+';
  const all = Math.abs(ms);
  if (all < 999.5) {
    return `${sign}${Math.round(all)} ms`;
  }
  if (all < 99950) {
    return `${sign}${(all / 1000).toFixed(1)} s`;
  }
  return all < 5970e3 ? `${sign}${Math.round(all / 60e3)} min` : `${sign}${Math.round(all / 3600e3)} h`;
}

// clock returns the time of day; nothing for recordings that count from their beginning.
export function clock(ms) {
  if (!Number.isFinite(ms) || ms < 366 * 86400e3) {
    return '';
  }
  const d = new Date(ms);
  return `${pad(d.getHours(), 2)}:${pad(d.getMinutes(), 2)}:${pad(d.getSeconds(), 2)}.${pad(d.getMilliseconds(), 3)}`;
}

export function size(bytes) {
  if (!bytes) {
    return '';
  }
  if (bytes < 1000) {
    return `${bytes} B`;
  }
  return bytes < 1e6 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

// The words and explanations of the kinds of problems. A kind has a word and a shape of its
// own: nobody needs to see red to tell them apart.
export const problemKinds = {
  decode: {word: 'unreadable', about: 'It is not a message of the protocol'},
  validation: {word: 'invalid', about: 'Its values break the rules of the protocol'},
  state: {word: 'out of order', about: 'It may not be sent in the state of its side'},
  refused: {word: 'refused', about: 'It tells the other side that something failed'},
};

export const plural = (n, word) => `${n.toLocaleString('en')} ${word}${n === 1 ? '' : 's'}`;
