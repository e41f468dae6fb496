package door_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain checks that nothing goes on when all calls have ended. The official client itself leaves some goroutines behind
// (contract "EventStoreDB", section 3, defect 4).
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}
