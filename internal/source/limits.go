package source

// Limits bound what one commit or directory may hold. They protect the controller's memory from a mistaken
// commit (a database dump, a video) and are checked against sizes, before content is read. A zero field
// means its default.
type Limits struct {
	// MaxFileBytes is the largest file below the path, in bytes. Default 4 MiB; CUE that people write is
	// rarely over 100 KiB.
	MaxFileBytes int64
	// MaxTotalBytes is the sum over all files below the path, in bytes. Default 256 MiB. Twice as much may be
	// transferred and kept of the whole repository, since the path may be one folder of a larger one; files
	// over MaxFileBytes outside the path are skipped and do not count.
	MaxTotalBytes int64
	// MaxFiles is the number of files below the path. Default 50,000.
	MaxFiles int
}

// The flags by which both programs set the limits, as messages name them.
const (
	FileSizeFlag  = "max-file-size"
	TotalSizeFlag = "max-repository-size"
	FilesFlag     = "max-files"
)

// DefaultLimits are the limits where nobody says otherwise.
func DefaultLimits() Limits { return Limits{}.withDefaults() }

const (
	defaultMaxFileBytes  = 4 << 20
	defaultMaxTotalBytes = 256 << 20
	defaultMaxFiles      = 50_000
)

// withDefaults is l with every zero (or negative) field replaced by its default.
func (l Limits) withDefaults() Limits {
	if l.MaxFileBytes <= 0 {
		l.MaxFileBytes = defaultMaxFileBytes
	}
	if l.MaxTotalBytes <= 0 {
		l.MaxTotalBytes = defaultMaxTotalBytes
	}
	if l.MaxFiles <= 0 {
		l.MaxFiles = defaultMaxFiles
	}
	return l
}

// repositoryBytes bounds what is kept in memory of a whole repository, the path and everything beside it.
func (l Limits) repositoryBytes() int64 { return 2 * l.MaxTotalBytes }
