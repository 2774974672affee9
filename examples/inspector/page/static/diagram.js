// The sequence diagram: rows of one height, of which only those in view are in the page.

import {el} from './dom.js';
import * as format from './format.js';

export const rowHeight = 28;
const spare = 8; // rows beyond each edge of the view

export class Diagram {
  // The box scrolls; head and rows are in it. onselect is told of clicks, onfollow whether the
  // user has scrolled to the end or away from it, onconn of a click on a lane's head.
  constructor({box, head, rows, store, onselect, onfollow, onconn}) {
    Object.assign(this, {box, head, store, onselect, onfollow, onconn});
    this.canvas = rows;
    this.lines = el('div', {class: 'lines'});
    this.layer = el('div');
    rows.append(this.lines, this.layer);
    this.selected = 0; // the number of an arrow
    this.shown = new Map(); // elements by row
    this.follow = false;
    this.pending = 0;
    box.addEventListener('scroll', () => this.scrolled(), {passive: true});
    new ResizeObserver(() => this.refresh()).observe(box);
    rows.addEventListener('click', e => {
      const row = e.target.closest('.row');
      if (row) {
        this.onselect(Number(row.dataset.number));
      }
    });
  }

  // refresh shows the rows of the store anew, soon.
  refresh() {
    this.stale = true;
    this.schedule();
  }

  // grow shows what has been added to the rows of the store, soon. What is in view stays.
  grow() {
    this.stale ||= this.store.lanes.size !== this.lanes;
    this.schedule();
  }

  schedule() {
    this.pending ||= requestAnimationFrame(() => {
      this.pending = 0;
      this.paint();
    });
  }

  scrolled() {
    const end = this.box.scrollHeight - this.box.clientHeight;
    if (this.follow && this.box.scrollTop < this.lastTop - 2 && this.box.scrollTop < end - rowHeight) {
      this.onfollow(false);
    } else if (!this.follow && this.box.scrollTop > this.lastTop && this.box.scrollTop >= end - 2) {
      this.onfollow(true);
    }
    this.lastTop = this.box.scrollTop;
    this.schedule();
  }

  // measure finds out where the lanes are.
  measure() {
    const style = getComputedStyle(this.box);
    this.edge = parseFloat(style.getPropertyValue('--time')) + parseFloat(style.getPropertyValue('--server'));
    this.lanes = this.store.lanes.size;
    const lanes = Math.max(this.lanes, 1);
    this.beyond = parseFloat(style.getPropertyValue('--beyond')); // room for the state of the last lane
    const least = parseFloat(style.getPropertyValue('--lane'));
    this.lane = Math.floor(Math.min(Math.max((this.box.clientWidth - this.edge - this.beyond) / lanes, least), 460));
    this.width = Math.max(this.edge + lanes * this.lane + this.beyond, this.box.clientWidth);
    this.top = this.head.offsetHeight;
  }

  paint() {
    if (this.stale) {
      this.measure();
      this.canvas.style.width = `${this.width}px`;
      this.canvas.style.setProperty('--cell', `${this.lane - 44}px`);
      this.paintHead();
      this.shown.clear();
      this.layer.replaceChildren();
    }
    this.canvas.style.height = `${this.store.rows.length * rowHeight + 12}px`;
    if (this.follow) {
      this.box.scrollTop = this.box.scrollHeight;
      this.lastTop = this.box.scrollTop;
    }
    const first = Math.max(Math.floor(this.box.scrollTop / rowHeight) - spare, 0);
    const bottom = this.box.scrollTop + this.box.clientHeight;
    const last = Math.min(Math.ceil(bottom / rowHeight) + spare, this.store.rows.length);
    this.paintLines();
    for (const [i, e] of this.shown) { // what stays is not touched: it may be under a finger
      if (i < first || i >= last) {
        e.remove();
        this.shown.delete(i);
      }
    }
    for (let i = first; i < last; i++) {
      if (!this.shown.has(i)) {
        const e = this.row(i);
        this.layer.append(e);
        this.shown.set(i, e);
      }
      this.fit(this.shown.get(i));
    }
    this.stale = false;
  }

  // fit has a label take no more than what is in view of its lane.
  fit(e) {
    const label = e.querySelector('.label');
    const lane = this.store.lanes.get(e.dataset.conn);
    if (lane) {
      const room = Math.min(this.lane, (lane.index + 1) * this.lane - this.box.scrollLeft) - 44;
      label.style.maxWidth = `${Math.max(room, 0)}px`;
      label.hidden = room < 32;
    }
  }

  // visible returns the lanes in view, and the one beside each edge.
  visible() {
    const from = Math.floor(this.box.scrollLeft / this.lane) - 1;
    const to = Math.ceil((this.box.scrollLeft + this.box.clientWidth - this.edge) / this.lane) + 1;
    const names = [...this.store.lanes.keys()];
    return names.slice(Math.max(from, 0), to).map(name => [name, this.store.lanes.get(name)]);
  }

  paintHead() {
    this.head.style.width = `${this.width}px`;
    this.head.replaceChildren(
      el('div', {class: 'stuck'}, el('div', {class: 'time'}, 'time'), el('div', {class: 'server'}, 'server')));
    this.names = el('div', {class: 'names'});
    this.heads = new Map(); // of lanes, by connection
    this.head.append(this.names);
    this.range = '';
  }

  x(lane) {
    return this.edge + (lane.index + 1) * this.lane;
  }

  paintLines() {
    const lanes = this.visible();
    const closed = name => this.store.conns.get(name)?.closed ?? false;
    this.paintNames(lanes);
    const range = lanes.map(([name, lane]) => `${name} ${closed(name) ? lane.last : ''}`).join('\n');
    if (range === this.range && !this.stale) {
      return;
    }
    this.range = range;
    this.lines.replaceChildren(...lanes.map(([name, lane]) => {
      const top = (lane.first + .5) * rowHeight;
      const line = el('div', {class: 'lifeline'});
      line.style.left = `${this.x(lane) - 1}px`;
      line.style.top = `${top}px`;
      line.style.height = closed(name) ? `${(lane.last - lane.first) * rowHeight}px` : `calc(100% - ${top}px)`;
      return line;
    }));
  }

  // paintNames says above each lane whose it is, and where both sides stand. What stays is not
  // made anew: it may be under a finger.
  paintNames(lanes) {
    const names = new Set(lanes.map(([name]) => name));
    for (const [name, head] of this.heads) {
      if (!names.has(name)) {
        head.remove();
        this.heads.delete(name);
      }
    }
    lanes.forEach(([name, lane], i) => {
      let head = this.heads.get(name);
      if (!head) {
        head = el('button', {class: 'name', onclick: () => this.onconn(name)});
        head.style.left = `${this.x(lane)}px`;
        head.style.maxWidth = `${this.lane - 16}px`;
        this.heads.set(name, head);
        this.names.insertBefore(head, this.names.children[i] ?? null);
      }
      const {who, about, closed, client, server} = this.store.conns.get(name);
      const says = [who, about, closed, client, server].join('\n');
      if (head.says === says) {
        return;
      }
      head.says = says;
      head.classList.toggle('closed', closed);
      head.title = [`Connection ${name} ${who}`, about, client && `the client's side now: ${client}`,
        server && `the server's side now: ${server}`, 'Click to see it alone'].filter(line => line).join('\n');
      head.replaceChildren(
        el('span', {class: 'whose'}, who && who !== name ? el('small', {}, name) : null, el('b', {}, who || name),
          about && !who ? el('i', {}, about) : null),
        client || server ? el('span', {class: 'stands'}, server ? el('span', {class: 'state of-server'}, server) : null,
          client ? el('span', {class: 'state of-client'}, client) : null) : null);
    });
  }

  row(i) {
    const {arrow: a, since, client, server} = this.store.rows[i];
    const problems = a.problems ?? [];
    const e = el('div', {class: `row ${a.kind}`, role: 'option', id: `row-${a.number}`,
      'aria-selected': String(a.number === this.selected)});
    e.dataset.number = a.number;
    e.dataset.conn = a.conn;
    e.style.top = `${i * rowHeight}px`;
    e.classList.toggle('wrong', problems.length > 0);
    e.classList.toggle('refusal', a.refusal);
    e.append(el('div', {class: 'stuck'},
      el('div', {class: 'time', title: format.clock(a.ms)},
        Number.isNaN(a.ms) ? el('span', {class: 'number'}, `#${a.number}`)
          : el('span', {}, format.relative(a.ms - this.store.start)), el('small', {}, format.delta(since))),
      el('div', {class: 'server'},
        server ? el('span', {class: 'state', title: `the server's side: ${server}`}, server) : null)));
    const lane = this.store.lanes.get(a.conn);
    if (!lane) {
      e.append(this.note(a));
      return e;
    }
    const arrow = el('div', {class: `arrow ${a.kind === 'lifecycle' ? 'mark' : a.from === 'server' ? 'down' : 'up'}`});
    arrow.style.width = `${(lane.index + 1) * this.lane}px`;
    const label = el('span', {class: 'label', title: a.about ? `${a.name} ${a.about}` : a.name}, el('b', {}, a.name),
      a.about ? el('i', {}, a.about) : null, ...badges(problems));
    const gap = el('span', {class: 'gap'}); // the label slides over it to stay in view
    gap.style.width = `${lane.index * this.lane + 22}px`;
    arrow.append(el('span', {class: 'tip server-tip'}), gap, label, el('span', {class: 'tip client-tip'}));
    e.append(arrow);
    if (client) {
      const s = el('span', {class: 'state', title: `the client's side: ${client}`}, client);
      s.style.left = `${this.x(lane) + 12}px`;
      e.append(s);
    }
    return e;
  }

  // note is what belongs to no connection.
  note(a) {
    const e = el('div', {class: 'arrow note'}, el('span', {class: 'label', title: `${a.name} ${a.about ?? ''}`},
      el('b', {}, a.name), a.about ? el('i', {}, a.about) : null, ...badges(a.problems ?? [])));
    e.style.width = `${this.width - this.edge}px`;
    return e;
  }

  // select marks an arrow and brings it into view.
  select(number, show = true) {
    this.selected = number;
    for (const e of this.layer.children) {
      e.setAttribute('aria-selected', String(Number(e.dataset.number) === number));
    }
    const i = this.store.find(number);
    if (i < 0) {
      this.box.removeAttribute('aria-activedescendant');
      return;
    }
    this.box.setAttribute('aria-activedescendant', `row-${number}`);
    if (show) {
      this.show(i);
    }
  }

  show(i) {
    if (this.stale) {
      this.paint();
    }
    const room = this.box.clientHeight - this.top;
    const top = i * rowHeight;
    if (top < this.box.scrollTop + rowHeight) {
      this.box.scrollTop = top - rowHeight;
    } else if (top + 2 * rowHeight > this.box.scrollTop + room) {
      this.box.scrollTop = top + 2 * rowHeight - room;
    }
    const lane = this.store.lanes.get(this.store.rows[i].arrow.conn);
    if (lane) {
      const right = this.x(lane) + this.beyond, left = this.x(lane) - this.lane - this.edge;
      if (right > this.box.scrollLeft + this.box.clientWidth) {
        this.box.scrollLeft = right - this.box.clientWidth;
      } else if (left < this.box.scrollLeft) {
        this.box.scrollLeft = left;
      }
    }
    this.schedule();
  }

  // page returns how many rows fit into the view.
  page() {
    return Math.max(Math.floor((this.box.clientHeight - this.top) / rowHeight) - 2, 1);
  }
}

// badges returns a badge for each kind of problem.
export function badges(problems) {
  return [...new Set(problems.map(p => p.kind))].map(kind => el('span', {class: `badge of-${kind}`,
    title: problems.filter(p => p.kind === kind).map(p => p.text).join('\n')},
    format.problemKinds[kind]?.word ?? kind));
}
