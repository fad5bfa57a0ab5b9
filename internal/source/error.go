package source

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// Reason classifies an [Error] by who can help. The values are fit for a condition's reason.
type Reason string

const (
	// ConfigurationInvalid: the URL, the ref, a Secret or an option cannot work as it is written. Trying again
	// cannot help, someone has to change the options.
	ConfigurationInvalid Reason = "SourceInvalid"
	// AuthenticationFailed: the server refused the credentials, or we refuse the server (unknown host key, a
	// certificate from an unknown authority). Someone has to change the Secret or the server.
	AuthenticationFailed Reason = "AuthenticationFailed"
	// VerificationFailed: the commit or tag is not signed by one of the keys.
	VerificationFailed Reason = "VerificationFailed"
	// ContentRefused: the commit holds something that a mesh repository must not hold. The error holds a
	// [manifest.Findings]; someone has to commit.
	ContentRefused Reason = "ContentRefused"
	// FetchFailed: the network, the server, a ref that does not exist (yet), or a deadline. Try again later.
	FetchFailed Reason = "FetchFailed"
)

// Error is every error of this package. Its text holds no credentials.
type Error struct {
	Reason Reason
	// Revision is the commit that was fetched and is refused or not verified, as in [Snapshot]; "" where the
	// failure is not about a commit, or where the commit is not known.
	Revision string
	// RewrittenFrom is that of the [Snapshot] that the commit would have been.
	RewrittenFrom string
	message       string
	cause         error
}

// Error says what failed and what to do.
func (e *Error) Error() string { return e.message }

// Unwrap gives the cause: a [manifest.Findings], a context's error or that of a library. Print the Error, not
// its cause: only the Error is known to be free of credentials.
func (e *Error) Unwrap() error { return e.cause }

// ReasonFor is the reason of an error of this package, FetchFailed for any other.
func ReasonFor(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return FetchFailed
}

// about says which commit an error is about, if it is one that the commit is to blame for.
func about(err error, revision, rewrittenFrom string) error {
	var e *Error
	if !errors.As(err, &e) || e.Reason != ContentRefused && e.Reason != VerificationFailed {
		return err
	}
	named := *e
	named.Revision, named.RewrittenFrom = revision, rewrittenFrom
	return &named
}

func invalid(format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Reason: ConfigurationInvalid, message: err.Error(), cause: errors.Unwrap(err)}
}

func unverified(format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Reason: VerificationFailed, message: err.Error(), cause: errors.Unwrap(err)}
}

func fetchFailed(format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Reason: FetchFailed, message: err.Error(), cause: errors.Unwrap(err)}
}

// contentRefused wraps findings, saying where they were found.
func contentRefused(where string, err error) *Error {
	var findings manifest.Findings
	if !errors.As(err, &findings) {
		findings = manifest.Findings{{Message: err.Error()}}
	}
	return &Error{
		Reason:  ContentRefused,
		message: fmt.Sprintf("%s is refused, nothing of it is used:\n%s", where, findings.Error()),
		cause:   findings,
	}
}

// maxCause bounds how much of a server's answer, which may be a whole HTML page, gets into an error.
const maxCause = 400

// classify turns what go-git says while it does what with the remote into an Error.
func (r *remote) classify(doing string, err error) *Error {
	if err == nil {
		return nil
	}
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	reason, hint := FetchFailed, ""
	var hostKey *hostKeyError
	text := err.Error()
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		hint = "the server did not answer in time; it is tried again"
	case errors.As(err, &hostKey), strings.Contains(text, "no common algorithm for host key"):
		reason, hint = AuthenticationFailed, "compare the server's host key with known_hosts in the Secret"
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed),
		strings.Contains(text, "ssh: unable to authenticate"):
		reason, hint = AuthenticationFailed, "the server refused the credentials; check the Secret and what its user may read"
	case strings.Contains(text, "x509: "), strings.Contains(text, "tls: "):
		reason, hint = AuthenticationFailed, "the TLS certificates do not fit; check ca.crt, tls.crt and tls.key in the Secret"
	case errors.Is(err, transport.ErrRepositoryNotFound):
		hint = "the repository does not exist, or these credentials may not see it"
	}
	message := fmt.Sprintf("cannot %s %s: %s", doing, r.shown, r.redact(text))
	if hint != "" {
		message += " (" + hint + ")"
	}
	return &Error{Reason: reason, message: message, cause: err}
}

// redact takes credentials, line breaks and great length out of text that came from elsewhere.
func (r *remote) redact(text string) string {
	for _, secret := range r.secrets {
		text = strings.ReplaceAll(text, secret, "*****")
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxCause {
		text = strings.ToValidUTF8(text[:maxCause], "") + "…"
	}
	return text
}
