// Writes page.js with all that it needs to the standard output.
'use strict'
const path = require('node:path')
const esbuild = require('esbuild')

esbuild.build({
  entryPoints: [path.join(__dirname, 'page.js')],
  bundle: true,
  write: false,
  platform: 'browser',
  define: { global: 'globalThis' },
  logLevel: 'error'
}).then(({ outputFiles: [bundle] }) => process.stdout.write(bundle.contents), () => process.exit(1))
