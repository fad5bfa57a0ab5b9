// Package text joins and shortens what messages list.
//
// In: names, counts and sentences. Out: text for a user, bounded in length.
package text
