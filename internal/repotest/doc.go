// Package repotest keeps the rules that the compiler does not: every test binary
// ends with the goroutines that it began with (Main), and the tests of this package
// check the whole tree for import rules, the uniform shape of the protocol packages,
// snippets in Markdown, documentation, links, the index of examples, and leftovers.
package repotest
