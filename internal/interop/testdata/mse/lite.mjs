// What both programs of this folder need: reports to the test that has started them, one
// JSON object a line on the standard output, and messages as jsonrpc-lite reads them.
import { createRequire } from 'node:module'
import { jsonrpc } from 'jsonrpc-lite'

const require = createRequire(import.meta.url)

// versions is the first report.
export const versions = {
  kind: 'versions',
  payload: {
    node: process.version,
    'jsonrpc-lite': require('jsonrpc-lite/package.json').version,
    ws: require('ws/package.json').version
  }
}

// report writes one line.
export function report (entry) {
  process.stdout.write(JSON.stringify(entry) + '\n')
}

// read returns what jsonrpc-lite makes of a text: its kind (request, notification,
// success, error or invalid), its payload, and the text itself.
//
// To jsonrpc-lite a null id is that of an error; a message that has a method and such an
// id is invalid. That is how the protocol document writes its notifications, so they are
// read a second time without the id, and nullID says that this made the difference.
export function read (text) {
  const parsed = jsonrpc.parse(text)
  if (Array.isArray(parsed)) return { kind: 'batch', payload: parsed, text }
  if (parsed.type === 'invalid') {
    const bare = withoutNullID(text)
    if (bare) {
      const again = jsonrpc.parseObject(bare)
      if (again.type === 'notification') return { kind: again.type, payload: again.payload, text, nullID: true }
    }
  }
  return { kind: parsed.type, payload: parsed.payload, text }
}

function withoutNullID (text) {
  try {
    const { id, ...bare } = JSON.parse(text)
    return id === null ? bare : undefined
  } catch {
    return undefined
  }
}
