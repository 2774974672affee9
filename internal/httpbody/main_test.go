package httpbody_test

import (
	"testing"

	"github.com/rtcsignal/rtcsignal/internal/repotest"
)

func TestMain(m *testing.M) { repotest.Main(m) }
