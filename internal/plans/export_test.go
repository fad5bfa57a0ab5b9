package plans

// Exported for tests of the order.
var (
	StageOf           = stageOf
	LastAdditiveStage = lastAdditiveStage
)
