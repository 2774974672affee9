// Search terms.

// The fields that a term can name, with what it is compared to.
const fields = {
  conn: (a, v) => a.conn.toLowerCase() === v,
  from: (a, v) => v !== '' && (a.from ?? '').startsWith(v),
  name: (a, v) => a.name.toLowerCase().includes(v),
  about: (a, v) => (a.about ?? '').toLowerCase().includes(v),
  kind: (a, v) => v !== '' && a.kind.startsWith(v),
  state: (a, v) => v !== '' && `${a.client ?? ''} ${a.server ?? ''}`.toLowerCase().includes(v),
  problem: (a, v) => (a.problems ?? []).some(p => p.kind.startsWith(v) || p.text.toLowerCase().includes(v)),
};

// The fields with examples, for the help.
export const terms = [
  ['text', 'in a name, in what it is about, in a problem'],
  ['"two words"', 'as they stand'],
  ['conn:2', 'of connection 2'],
  ['from:server', 'sent by the server; from:client'],
  ['name:offer', 'with this in its name'],
  ['about:bob', 'with this in what it is about'],
  ['kind:carrier', 'message, carrier or lifecycle'],
  ['state:joined', 'a side stands there afterwards'],
  ['problem:', 'with any problem; problem:state, problem:refused'],
  ['-term', 'what the term does not find'],
];

// parse returns a query: match(arrow), and the kinds that it asks for by name.
export function parse(text) {
  const tests = [];
  const kinds = new Set();
  for (const [, minus, name, quoted, plain] of text.matchAll(/(-?)(?:([a-z]+):)?(?:"([^"]*)"?|(\S*))(?:\s+|$)/gi)) {
    const value = (quoted ?? plain ?? '').toLowerCase();
    const field = name && fields[name.toLowerCase()];
    if (!name && value === '') {
      continue;
    }
    if (field === fields.kind && !minus) {
      kinds.add(value);
    }
    const whole = name && !field ? `${name.toLowerCase()}:${value}` : value;
    const test = field ? a => field(a, value) : a => a.text.includes(whole);
    tests.push(minus ? a => !test(a) : test);
  }
  return {
    empty: tests.length === 0,
    match: a => tests.every(test => test(a)),
    asksFor: kind => [...kinds].some(k => k !== '' && kind.startsWith(k)),
  };
}
