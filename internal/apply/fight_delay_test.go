package apply

import (
	"testing"
	"time"
)

func TestATruceNeverLastsLonger(t *testing.T) {
	for n := range 200 {
		if d := (fight{corrections: n}).due().Sub(time.Time{}); d > longestTruce || n >= slips+6 && d != longestTruce {
			t.Errorf("%d corrections: %s", n, d)
		}
	}
}
