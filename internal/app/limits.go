package app

import (
	"context"
	"slices"

	"github.com/backstaydb/backstay/internal/drill"
	"github.com/backstaydb/backstay/internal/recovery"
)

// limitReports is how many of the newest drill reports are looked at: one that met damage measured nothing.
const limitReports = 5

// limits are the speeds that the newest drills measured, as their signed reports in the repository say; zero where none
// measured anything. A report that cannot be read or does not verify costs the estimate, nothing else.
func (r *Reached) limits(ctx context.Context, o OpenRepository) recovery.Limits {
	var l recovery.Limits
	looked := 0
	for _, ref := range slices.Backward(o.Facts.Reports) { // Names begin with the time.
		if !isDrill(ref.ID) {
			continue
		}
		if looked++; looked > limitReports || l.LayBytesPerSecond > 0 && l.ReplayBytesPerSecond > 0 {
			break
		}
		signed, err := o.Repo.Report(ctx, ref.ID)
		if err != nil {
			continue
		}
		report, _, err := drill.VerifyReport(signed, o.Repo.Verifiers())
		if err != nil || report.Source != r.Source {
			continue
		}
		measured := report.Limits()
		if l.LayBytesPerSecond == 0 {
			l.LayBytesPerSecond = measured.LayBytesPerSecond
		}
		if l.ReplayBytesPerSecond == 0 {
			l.ReplayBytesPerSecond = measured.ReplayBytesPerSecond
		}
	}
	return l
}
