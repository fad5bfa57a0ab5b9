package source

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// Reason classifies an [Error] by the action that it needs. The values are valid reasons of
// conditions.
type Reason string

const (
	// ConfigurationInvalid: the URL, the ref, a Secret or an option is invalid. Retrying does not
	// help; change the options.
	ConfigurationInvalid Reason = "SourceInvalid"
	// AuthenticationFailed: the server rejected the credentials, or its host key or certificate is
	// not trusted. Change the Secret or the server.
	AuthenticationFailed Reason = "AuthenticationFailed"
	// VerificationFailed: the commit or tag is not signed by one of the keys.
	VerificationFailed Reason = "VerificationFailed"
	// ContentRefused: the commit cannot be a mesh repository, for example because it exceeds a
	// limit. The error wraps a [manifest.Findings]. Fix it with a new commit.
	ContentRefused Reason = "ContentRefused"
	// FetchFailed: a failure of the network or the server, a ref that does not exist (yet), or a
	// deadline. Retry later.
	FetchFailed Reason = "FetchFailed"
)

// Error is the type of all errors of this package. Its text has no credentials.
type Error struct {
	Reason Reason
	// Revision is the fetched commit that was rejected or not verified, as in [Snapshot]; "" for
	// other errors, or if the commit is unknown.
	Revision string
	// RewrittenFrom is the same as in [Snapshot], for the commit of Revision.
	RewrittenFrom string
	message       string
	cause         error
}

// Error returns what failed and what to do.
func (e *Error) Error() string { return e.message }

// Unwrap returns the cause: a [manifest.Findings], or the error of a context or library. Do not
// print the cause: only the text of the Error is free of credentials.
func (e *Error) Unwrap() error { return e.cause }

// ReasonFor returns the reason of an error of this package, and FetchFailed for any other error.
func ReasonFor(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return FetchFailed
}

// withRevision adds the commit to an error that the commit caused.
func withRevision(err error, revision, rewrittenFrom string) error {
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

// contentRefused wraps findings; where names the commit or folder.
func contentRefused(where string, err error) *Error {
	var findings manifest.Findings
	if !errors.As(err, &findings) {
		findings = manifest.Findings{{Message: err.Error()}}
	}
	return &Error{
		Reason:  ContentRefused,
		message: fmt.Sprintf("%s is rejected and not used:\n%s", where, findings.Error()),
		cause:   findings,
	}
}

// maxCause bounds the part of a response in an error: a server may send a whole HTML page.
const maxCause = 400

// classify converts an error of go-git into an Error. doing describes the failed operation.
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
		hint = "the server did not answer in time; the fetch is retried"
	case errors.As(err, &hostKey), strings.Contains(text, "no common algorithm for host key"):
		reason, hint = AuthenticationFailed, "compare the server's host key with known_hosts in the Secret"
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed),
		strings.Contains(text, "ssh: unable to authenticate"):
		reason, hint = AuthenticationFailed, "the server rejected the credentials; check the Secret and the permissions of its user"
	case strings.Contains(text, "x509: "), strings.Contains(text, "tls: "):
		reason, hint = AuthenticationFailed, "TLS failed; check ca.crt, tls.crt and tls.key in the Secret"
	case errors.Is(err, transport.ErrRepositoryNotFound):
		hint = "the repository does not exist, or these credentials cannot read it"
	}
	message := fmt.Sprintf("cannot %s %s: %s", doing, r.display, r.redact(text))
	if hint != "" {
		message += " (" + hint + ")"
	}
	return &Error{Reason: reason, message: message, cause: err}
}

// redact removes credentials and line breaks from foreign text, and shortens it to maxCause.
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
