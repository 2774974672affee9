// The pane with everything about one arrow.

import {el, toast} from './dom.js';
import {badges} from './diagram.js';
import {fold} from './folds.js';
import * as format from './format.js';
import {tree} from './tree.js';

const longText = 200_000; // characters that are shown at once

// A Detail shows arrows in a pane. onstep is told to go to the previous or next arrow of the
// connection, onclose to close the pane.
export class Detail {
  constructor({pane, onstep, onclose}) {
    Object.assign(this, {pane, onstep, onclose});
    this.mode = 'tree'; // how messages are shown
    this.wanted = 0;
  }

  // show shows an arrow; load gets the rest of it.
  async show(arrow, start, load) {
    const wanted = ++this.wanted;
    this.pane.hidden = false;
    const body = el('div', {class: 'body'});
    this.pane.replaceChildren(this.head(arrow, start), body);
    this.pane.scrollTop = 0;
    this.pane.dataset.number = arrow.number;
    body.append(...this.problems(arrow));
    try {
      const {detail} = await load();
      if (wanted === this.wanted) {
        body.append(...this.parts(detail));
      }
    } catch (e) {
      if (wanted === this.wanted) {
        body.append(el('p', {class: 'quiet'}, `The details are not there: ${e.message}`));
      }
    }
    this.pane.dataset.loaded = arrow.number;
  }

  hide() {
    this.wanted++;
    this.pane.hidden = true;
    delete this.pane.dataset.number;
  }

  head(a, start) {
    const ways = {client: 'client → server', server: 'server → client'};
    const facts = [
      `#${a.number}`, a.conn === '' ? null : `connection ${a.conn}`, a.kind === 'lifecycle' ? a.from : ways[a.from],
      format.relative(a.ms - start) && `${format.relative(a.ms - start)} s`, format.clock(a.ms), format.size(a.size),
    ].filter(f => f);
    return el('header', {class: 'detail-head'},
      el('div', {class: 'title'},
        el('h2', {}, a.name, a.about ? el('i', {}, ` ${a.about}`) : null),
        el('span', {class: 'group'},
          el('button', {title: 'Previous of this connection (h or [)', 'aria-label': 'Previous of this connection',
            onclick: () => this.onstep(-1)}, '‹'),
          el('button', {title: 'Next of this connection (l or ])', 'aria-label': 'Next of this connection',
            onclick: () => this.onstep(1)}, '›')),
        el('button', {title: 'Close (Esc)', 'aria-label': 'Close', onclick: () => this.onclose()}, '✕')),
      el('p', {class: 'facts'}, facts.join(' · ')),
      a.client || a.server ? el('p', {class: 'facts'}, 'afterwards: ',
        a.client ? el('span', {class: 'state'}, `client ${a.client}`) : null, ' ',
        a.server ? el('span', {class: 'state'}, `server ${a.server}`) : null) : null);
  }

  problems(a) {
    return (a.problems ?? []).map(p => el('div', {class: `problem of-${p.kind}`},
      el('div', {}, ...badges([p]), el('small', {}, format.problemKinds[p.kind]?.about ?? '')), el('p', {}, p.text)));
  }

  parts(detail) {
    if (!detail) {
      return [el('p', {class: 'quiet'}, 'There is no more to tell.')];
    }
    const parts = [];
    const folds = (detail.folds ?? []).map(fold);
    if (detail.decoded !== undefined) {
      parts.push(this.message(detail));
    }
    if (folds.length > 0) {
      parts.push(el('section', {}, el('h3', {}, 'Parts'), ...folds));
    }
    if (detail.raw) {
      parts.push(el('section', {}, el('details', {class: 'raw', open: detail.decoded === undefined},
        el('summary', {}, el('h3', {}, 'On the wire'), copier(detail.raw)),
        el('pre', {class: 'text'}, ...cut(detail.raw)))));
    }
    return parts.length > 0 ? parts : [el('p', {class: 'quiet'}, 'There is no more to tell.')];
  }

  // message is the decoded message as a tree or as text.
  message(detail) {
    const text = JSON.stringify(detail.decoded, null, 2);
    const content = el('div', {class: 'message'});
    const buttons = ['tree', 'text'].map(mode => el('button', {'data-mode': mode, onclick: () => show(mode)}, mode));
    const show = mode => {
      this.mode = mode;
      buttons.forEach(b => b.setAttribute('aria-pressed', String(b.dataset.mode === mode)));
      content.replaceChildren(mode === 'tree' ? tree(detail.decoded) : el('pre', {class: 'text'}, ...cut(text)));
    };
    show(this.mode);
    return el('section', {}, el('div', {class: 'section-head'}, el('h3', {}, 'Message'),
      detail.type ? el('code', {class: 'quiet'}, detail.type) : null, el('span', {class: 'space'}),
      el('span', {class: 'group small'}, ...buttons), copier(text)), content);
  }
}

// cut returns a text, of which a long one has to be asked for.
function cut(text) {
  if (text.length <= longText) {
    return [text];
  }
  const rest = el('button', {class: 'link'}, `… ${format.plural(text.length - longText, 'more character')}`);
  rest.onclick = () => rest.replaceWith(text.slice(longText));
  return [text.slice(0, longText), rest];
}

function copier(text) {
  return el('button', {class: 'copy', title: 'Copy', onclick: async e => {
    e.preventDefault(); // the summary around it stays as it is
    try {
      await navigator.clipboard.writeText(text);
      toast('Copied');
    } catch {
      toast('The browser does not let the page copy', true);
    }
  }}, 'copy');
}
