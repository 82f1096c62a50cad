//go:build race

package app

// slow is by how much all takes longer.
const slow = 5
