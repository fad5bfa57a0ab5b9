package text

import "testing"

func TestTextIsShortAndBounded(t *testing.T) {
	cases := map[string]struct {
		reason    string
		got, want string
	}{
		"Sentence":        {"another sentence follows", Sentence(" not found\n"), "not found."},
		"SentenceEnded":   {"a full stop is not doubled", Sentence("not found."), "not found."},
		"SentenceEmpty":   {"no text has no full stop", Sentence(" "), ""},
		"CountOne":        {"the singular", Count(1, "object"), "1 object"},
		"CountNone":       {"the plural", Count(0, "object"), "0 objects"},
		"Short":           {"12 digits identify a commit", Short("main@sha1:0123456789abcdef"), "main@sha1:0123456789ab"},
		"ShortWithoutRef": {"a commit alone has no ref", Short("sha1:0123456789abcdef"), "sha1:0123456789ab"},
		"ShortOther":      {"a text without a commit is unchanged", Short("working tree"), "working tree"},
		"AndMore":         {"the rest is counted", AndMore([]string{"a", "b"}, 5), "a; b; and 3 more"},
		"AndMoreAll":      {"nothing is left to count", AndMore([]string{"a", "b"}, 2), "a; b"},
		"Few":             {"five names are listed", Few([]string{"a", "b", "c", "d", "e"}), "a, b, c, d, e"},
		"FewOfMore":       {"the rest is counted", Few([]string{"a", "b", "c", "d", "e", "f", "g"}), "a, b, c, d, e and 2 more"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if tc.got != tc.want {
				t.Errorf("%s: got %q, want %q", tc.reason, tc.got, tc.want)
			}
		})
	}
}
