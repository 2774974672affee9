// Parts of a message with a form of their own: SDP by its sections, other things by their lines.

import {el} from './dom.js';

// fold returns an element for a fold of a message: {title, text}.
export function fold({title, text}) {
  const lines = text.split(/\r\n|\n/);
  while (lines.length > 0 && lines.at(-1) === '') {
    lines.pop();
  }
  const sdp = lines.length > 1 && lines[0].startsWith('v=');
  return el('details', {class: 'fold', open: lines.length <= 8 || sdp},
    el('summary', {}, title, el('span', {class: 'quiet'}, ` ${lines.length} ${lines.length === 1 ? 'line' : 'lines'}`)),
    ...(sdp ? sections(lines) : [block(lines)]));
}

// sections returns the session and the media of an SDP, each to be opened by itself.
function sections(lines) {
  const parts = [[]];
  for (const line of lines) {
    if (line.startsWith('m=')) {
      parts.push([]);
    }
    parts.at(-1).push(line);
  }
  return parts.map((part, i) => el('details', {class: 'section', open: i > 0 && parts.length < 4},
    el('summary', {}, i === 0 ? 'session' : summary(part), el('span', {class: 'quiet'}, ` ${part.length} lines`)),
    block(part)));
}

// summary tells what a media section is about: kind, mid, direction, codecs.
function summary(lines) {
  const [kind, port, , ...formats] = lines[0].slice(2).split(' ');
  const value = name => lines.find(l => l.startsWith(`a=${name}:`))?.slice(name.length + 3);
  const words = [kind];
  if (value('mid') !== undefined) {
    words.push(`mid ${value('mid')}`);
  }
  if (port === '0' && !lines.includes('a=bundle-only')) {
    words.push('rejected');
  }
  words.push(...['sendrecv', 'sendonly', 'recvonly', 'inactive'].filter(d => lines.includes(`a=${d}`)));
  const codecs = new Set();
  for (const line of lines) {
    const [, format, codec] = line.match(/^a=rtpmap:(\d+) ([^/]+)/) ?? [];
    if (codec && formats.includes(format) && !/^(rtx|red|ulpfec|flexfec.*|telephone-event|CN)$/i.test(codec)) {
      codecs.add(codec);
    }
  }
  if (codecs.size > 0) {
    words.push([...codecs].slice(0, 5).join(' ') + (codecs.size > 5 ? ' …' : ''));
  }
  const candidates = lines.filter(l => l.startsWith('a=candidate:')).length;
  if (candidates > 0) {
    words.push(`${candidates} candidate${candidates === 1 ? '' : 's'}`);
  }
  return words.join(' · ');
}

// block returns lines, with what they are called apart from what they say.
function block(lines) {
  return el('pre', {class: 'lines-of'}, ...lines.map(line => {
    const [, name, rest] = line.match(/^([a-z]=(?:[a-z0-9-]+(?=:|$):?)?|candidate:)(.*)$/i) ?? [];
    return name === undefined ? el('span', {}, `${line}\n`) : el('span', {}, el('b', {}, name), `${rest}\n`);
  }));
}
