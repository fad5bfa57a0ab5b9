package cli

import "strings"

// similar are those of the names that someone who typed the given one may have meant.
func similar(typed string, names []string) []string {
	var out []string
	for _, name := range names {
		if len(out) < 3 && (distance(typed, name) <= 2 || typed != "" && strings.Contains(name, typed)) {
			out = append(out, name)
		}
	}
	return out
}

// distance is Levenshtein's: how many characters to insert, delete or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
