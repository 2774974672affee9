// What keys do.

// table has the keys with their action and what the help says. A key of several is one of them.
export const table = [
  [['j', 'ArrowDown'], 'next', 'next arrow'],
  [['k', 'ArrowUp'], 'previous', 'previous arrow'],
  [['l', ']', 'ArrowRight'], 'nextOfConn', 'next of the same connection'],
  [['h', '[', 'ArrowLeft'], 'previousOfConn', 'previous of the same connection'],
  [['PageDown'], 'pageDown', 'a page down'],
  [['PageUp'], 'pageUp', 'a page up'],
  [['g', 'Home'], 'first', 'first arrow'],
  [['G', 'End'], 'last', 'last arrow'],
  [['n'], 'nextProblem', 'next problem'],
  [['N'], 'previousProblem', 'previous problem'],
  [['r'], 'nextRefusal', 'next refusal'],
  [['Enter'], 'open', 'details of the selected arrow'],
  [['Escape'], 'close', 'close the details, empty the search'],
  [['/'], 'search', 'search'],
  [['c'], 'carrier', 'show the carrier: heartbeats, polling, HTTP'],
  [['a'], 'acks', 'show answers that say nothing'],
  [['e'], 'problemsOnly', 'problems and refusals only'],
  [['f'], 'follow', 'stay with the newest'],
  [['p'], 'pause', 'keep the view as it is, and go on'],
  [['o'], 'import', 'open a file'],
  [['?'], 'help', 'this help'],
];

const actions = new Map(table.flatMap(([keys, action]) => keys.map(k => [k, action])));

const names = {
  ArrowDown: '↓', ArrowUp: '↑', ArrowRight: '→', ArrowLeft: '←', PageDown: 'PgDn', PageUp: 'PgUp', Escape: 'Esc',
};

export const nameOf = key => names[key] ?? key;

// listen calls the action of a key, unless somebody is writing or a dialog is open.
export function listen(handlers) {
  document.addEventListener('keydown', e => {
    const action = actions.get(e.key);
    if (!action || e.ctrlKey || e.altKey || e.metaKey || document.querySelector('dialog[open]')) {
      return;
    }
    const inField = e.target.closest?.('input, select, textarea');
    if (inField && action !== 'close') {
      return;
    }
    if (e.key === 'Enter' && e.target.closest?.('button, a, summary')) {
      return;
    }
    e.preventDefault();
    handlers[action]();
  });
}
