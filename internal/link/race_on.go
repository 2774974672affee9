//go:build race

package link

const poison = true
