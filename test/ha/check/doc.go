// Package check records what clients of a database asked and were told, and finds out whether it can all be true.
//
// Each operation has a moment at which it was asked and one at which it was answered, and an outcome: it happened, it did
// not, or nobody knows, which is the honest answer to a COMMIT whose connection broke. What is unknown may have happened at
// any time after it was asked, or never; whoever claims more finds violations that are none, and whoever leaves it out
// misses those that are some.
//
// Three clients, three judges:
//
//   - Registers: reads and writes of single values, by Linearizable (porcupine).
//   - Appends: rows that were acknowledged must be there at the end, once; rows that were refused must not (Lost, Risen, Twice).
//   - Bank: transfers leave the sum as it is, in each snapshot that anybody reads.
package check
