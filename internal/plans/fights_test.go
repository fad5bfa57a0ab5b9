package plans

import (
	"testing"
	"time"
)

func TestBackoffOfAFightIsLimited(t *testing.T) {
	for n := range 200 {
		if d := (fight{corrections: n}).nextCorrection().Sub(time.Time{}); d > MaxBackoff || n >= FightThreshold+6 && d != MaxBackoff {
			t.Errorf("%d corrections: %s", n, d)
		}
	}
}
