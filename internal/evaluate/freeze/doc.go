// Package freeze replaces broken services with their last known good manifests.
//
// In: the services of a commit and their findings ([shard.Services]), and the [LastKnownGood]
// manifests of earlier commits. Out: the services of the commit with frozen manifests, and the
// [LastKnownGood] for the next commit.
//
// Invariant: a broken service affects no other service. If its last known good manifest is unknown,
// it is reported ([Freezer].Unknown), so that the caller keeps its objects.
package freeze
