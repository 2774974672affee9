// JSON as a tree that opens and closes.

import {el} from './dom.js';

const long = 300; // characters of a string that are shown at once
const longLines = 100; // of one that has lines, which are better read elsewhere
const many = 200; // members that are shown at once

// tree returns an element for a value.
export function tree(value) {
  return el('div', {class: 'tree'}, node(null, value, 0));
}

const quote = name => JSON.stringify(name);

function key(name) {
  return name === null ? null : el('span', {class: 'key'}, typeof name === 'number' ? `${name}` : name, ': ');
}

function node(name, value, depth) {
  if (value === null || typeof value !== 'object') {
    return el('div', {class: 'leaf'}, key(name), leaf(value));
  }
  const list = Array.isArray(value);
  const members = list ? value.map((v, i) => [i, v]) : Object.entries(value);
  if (members.length === 0) {
    return el('div', {class: 'leaf'}, key(name), el('span', {class: 'quiet'}, list ? '[]' : '{}'));
  }
  const box = el('details', {open: depth < 3 && members.length <= many},
    el('summary', {}, key(name), el('span', {class: 'quiet'}, preview(list, members))));
  const fill = () => {
    if (box.open && box.children.length === 1) {
      fillFrom(box, members, 0, depth);
    }
  };
  box.addEventListener('toggle', fill);
  fill();
  return box;
}

function fillFrom(box, members, from, depth) {
  box.append(...members.slice(from, from + many).map(([n, v]) => node(n, v, depth + 1)));
  if (members.length > from + many) {
    const more = el('button', {class: 'link'}, `${members.length - from - many} more`);
    more.onclick = () => {
      more.remove();
      fillFrom(box, members, from + many, depth);
    };
    box.append(more);
  }
}

// preview says what is in a closed node.
function preview(list, members) {
  if (list) {
    return `[${members.length}]`;
  }
  const names = members.slice(0, 6).map(([n]) => n).join(', ');
  return `{${names.length > 60 ? `${names.slice(0, 60)}…` : names}${members.length > 6 ? ', …' : ''}}`;
}

function leaf(value) {
  if (typeof value !== 'string') {
    return el('span', {class: typeof value === 'number' ? 'number' : 'word'}, String(value));
  }
  const most = value.includes('\n') ? longLines : long;
  const text = el('span', {class: 'string'}, quote(value.slice(0, most)));
  if (value.length <= most) {
    return text;
  }
  const more = el('button', {class: 'link'}, `… ${value.length - most} more characters`);
  more.onclick = () => {
    text.textContent = quote(value);
    more.remove();
  };
  return el('span', {}, text, more);
}
