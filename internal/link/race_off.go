//go:build !race

package link

const poison = false
