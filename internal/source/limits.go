package source

// Limits bound the size of one commit or directory. They protect the memory of the controller from
// accidents such as a committed database dump. Sizes are checked before content is read. A zero
// field means its default.
type Limits struct {
	// MaxFileBytes is the size of the largest file below the path, in bytes. Default 4 MiB; CUE
	// files are rarely over 100 KiB.
	MaxFileBytes int64
	// MaxTotalBytes is the size of all files below the path, in bytes. Default 256 MiB. The whole
	// repository, which may be larger than the path, may have twice as much. Files outside the path
	// that are over MaxFileBytes are skipped and do not count.
	MaxTotalBytes int64
	// MaxFiles is the number of files below the path. Default 50,000.
	MaxFiles int
}

// The flags of both programs that set the limits. Messages refer to them.
const (
	FileSizeFlag  = "max-file-size"
	TotalSizeFlag = "max-repository-size"
	FilesFlag     = "max-files"
)

// DefaultLimits returns the default limits.
func DefaultLimits() Limits { return Limits{}.withDefaults() }

const (
	defaultMaxFileBytes  = 4 << 20
	defaultMaxTotalBytes = 256 << 20
	defaultMaxFiles      = 50_000
)

// withDefaults replaces zero and negative fields by their defaults.
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

// repositoryBytes bounds the size of the whole repository in memory.
func (l Limits) repositoryBytes() int64 { return 2 * l.MaxTotalBytes }
