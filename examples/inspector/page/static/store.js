// What has come of a recording, and which of it is shown.

import {parse} from './query.js';

// A Store has the arrows of a recording, and rows: those of them that its filter lets through.
// A row is {arrow, since, client, server}: the milliseconds since the row before, and the states
// that have changed since the last row of the connection.
export class Store {
  constructor() {
    this.filter = {query: parse(''), conn: '', kinds: new Set(['message', 'lifecycle']),
      acks: true, problems: false};
    this.reset();
  }

  // reset forgets everything but the filter.
  reset() {
    this.arrows = [];
    this.conns = new Map(); // by name: what is known of a connection
    this.problems = 0; // arrows with any
    this.refusals = 0; // arrows with which nothing is wrong but that they refuse something
    this.start = NaN; // of the first arrow that has a time
    this.limit = Infinity; // how many arrows may be shown: while it is paused, those that were there
    this.clearRows();
  }

  clearRows() {
    this.rows = [];
    this.lanes = new Map(); // by connection: {first, last} row
    this.states = new Map();
    this.filtered = 0; // how many arrows the filter has seen
  }

  // add takes arrows in.
  add(arrows) {
    for (const a of arrows) {
      const problems = a.problems ?? [];
      a.ms = a.time ? Date.parse(a.time) : NaN;
      a.text = [a.name, a.about ?? '', ...problems.map(p => p.text)].join('\n').toLowerCase();
      if (Number.isNaN(this.start)) {
        this.start = a.ms;
      }
      let conn = this.conns.get(a.conn);
      if (!conn && a.conn !== '') {
        conn = {name: a.conn, who: '', about: '', closed: false, client: '', server: ''};
        this.conns.set(a.conn, conn);
      }
      if (conn && a.who) {
        conn.who = a.who;
      }
      if (conn && a.kind === 'lifecycle') {
        conn.about ||= a.name.startsWith('open') ? a.about ?? '' : '';
        conn.closed = a.name.startsWith('close');
      }
      a.refusal = problems.length > 0 && problems.every(p => p.kind === 'refused');
      a.wrong = problems.length > 0 && !a.refusal;
      this.count(a, 1);
      this.arrows.push(a);
    }
  }

  count(a, n) {
    this.problems += a.wrong ? n : 0;
    this.refusals += a.refusal ? n : 0;
  }

  // drop forgets the arrows before one.
  drop(oldest) {
    const n = this.arrows.findIndex(a => a.number >= oldest);
    const gone = this.arrows.splice(0, n < 0 ? this.arrows.length : n);
    gone.forEach(a => this.count(a, -1));
    this.limit = Math.max(this.limit - gone.length, 0);
    this.refilter();
  }

  // refilter makes the rows anew, as after a change of the filter.
  refilter() {
    this.clearRows();
    this.advance();
  }

  // advance shows what has come since.
  advance() {
    for (; this.filtered < Math.min(this.arrows.length, this.limit); this.filtered++) {
      const arrow = this.arrows[this.filtered];
      const conn = this.conns.get(arrow.conn);
      if (conn) { // which stands somewhere whether that is shown or not
        conn.client = arrow.client || conn.client;
        conn.server = arrow.server || conn.server;
      }
      if (!this.passes(arrow)) {
        continue;
      }
      const before = this.rows.at(-1)?.arrow;
      const row = {arrow, since: before ? arrow.ms - before.ms : NaN, client: '', server: ''};
      if (arrow.conn !== '') {
        const state = this.states.get(arrow.conn) ?? {client: '', server: ''};
        for (const side of ['client', 'server']) {
          if (arrow[side] && arrow[side] !== state[side]) {
            row[side] = state[side] = arrow[side];
          }
        }
        this.states.set(arrow.conn, state);
        const lane = this.lanes.get(arrow.conn);
        if (lane) {
          lane.last = this.rows.length;
        } else {
          this.lanes.set(arrow.conn, {index: this.lanes.size, first: this.rows.length, last: this.rows.length});
        }
      }
      this.rows.push(row);
    }
  }

  // passes reports whether the filter lets an arrow through. What is wrong with the carrier is
  // shown although the carrier is not.
  passes(a) {
    const f = this.filter;
    const wrong = a.wrong || a.refusal;
    if (f.problems && !wrong || a.ack && !wrong && !f.acks || f.conn !== '' && a.conn !== f.conn) {
      return false;
    }
    const kind = f.kinds.has(a.kind) || a.kind === 'carrier' && wrong || f.query.asksFor(a.kind);
    return kind && f.query.match(a);
  }

  // find returns the index of the row of an arrow, or -1.
  find(number) {
    let low = 0, high = this.rows.length - 1;
    while (low <= high) {
      const middle = low + high >> 1;
      const n = this.rows[middle].arrow.number;
      if (n === number) {
        return middle;
      }
      if (n < number) {
        low = middle + 1;
      } else {
        high = middle - 1;
      }
    }
    return -1;
  }

  // seek returns the index of the next row in a direction for which a test says yes, or -1.
  seek(from, step, test) {
    for (let i = from; i >= 0 && i < this.rows.length; i += step) {
      if (test(this.rows[i].arrow)) {
        return i;
      }
    }
    return -1;
  }
}
