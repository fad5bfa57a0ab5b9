package sandbox

import (
	"errors"
	"strings"
	"testing"
)

func TestCrashErrorHasTheCause(t *testing.T) {
	for name, tc := range map[string]struct {
		handler string
		text    []string
		stderr  []string
		reason  string
	}{
		"Panic": {
			handler: "panic", text: []string{"exit status 2", "panic: told why"}, stderr: []string{"said before", "goroutine ", "main_test.go"},
			reason: "the trace is needed to fix it",
		},
		"Exit":    {handler: "exit", text: []string{"exit status 0"}, reason: "an exit without a response is a crash"},
		"Garbage": {handler: "garbage", text: []string{"sent an invalid response"}, reason: "the child is not trusted"},
		"HangUp":  {handler: "hang up", text: []string{"signal: killed"}, reason: "a child that closed its pipe cannot respond"},
		"Noise": {
			handler: "noise", text: []string{"exit status 2"}, stderr: []string{"[…]", "panic: after much noise", "goroutine "},
			reason: "only both ends are kept",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, Limits{})
			_, err := w.Call(t.Context(), tc.handler, nil)
			var crash *CrashError
			if !errors.As(err, &crash) {
				t.Fatalf("%s: got %v, want a CrashError", tc.reason, err)
			}
			for _, text := range tc.text {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%s: %q does not contain %q", tc.reason, err, text)
				}
			}
			for _, text := range tc.stderr {
				if !strings.Contains(crash.Stderr, text) {
					t.Errorf("%s: standard error does not contain %q:\n%s", tc.reason, text, crash.Stderr)
				}
			}
			if len(crash.Stderr) > 2*outputEnd+100 {
				t.Errorf("%d bytes of standard error were kept", len(crash.Stderr))
			}
			wantReaped(t, w)
		})
	}
}

func TestHandlerErrorKeepsTheChild(t *testing.T) {
	w := start(t, Limits{})
	_, err := w.Call(t.Context(), "fail", []byte("services.a: wrong"))
	var said *HandlerError
	if !errors.As(err, &said) || said.Message != "services.a: wrong" {
		t.Errorf("got %v, want the error of the handler", err)
	}
	if _, err := w.Call(t.Context(), "no such handler", nil); !errors.As(err, &said) || !strings.Contains(err.Error(), "no such handler") {
		t.Errorf("got %v, want an unknown handler", err)
	}
	if got, err := w.Call(t.Context(), "echo", []byte("still here")); err != nil || string(got) != "still here" {
		t.Errorf("got %q, %v", got, err)
	}
}
