package drill

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"strings"
	"time"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"time":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000 UTC") },
	"seconds": func(s float64) string { return fmt.Sprintf("%.3f s", s) },
	"sum":     func(a, b, c, d float64) float64 { return a + b + c + d },
}).Parse(pageText))

// meanings are the verdicts in a sentence, for those who read one for the first time.
var meanings = map[Verdict]string{
	Proved:         "The data was restored from the backup, a real database engine was started on it and found it sound, and it answered every check.",
	BackupBad:      "The backup is damaged or incomplete: the data could not be restored as it was.",
	CheckFailed:    "The data was restored and its structure is sound, and it did not answer a check of its owner as expected.",
	DataDiffers:    "The data was restored and its structure is sound, and it is not what the source had at that position: a digest that was taken there says otherwise.",
	EnvironmentBad: "The drill could not be carried out on its host. This says nothing about the backup.",
}

// noteLink is where the signed report lies in a page.
const noteLink = `href="data:text/plain;base64,`

// Page is a signed report as one page of HTML that needs nothing else: for auditors, who verify it with VerifyPage, or by hand as it
// says. The same report makes the same page. verifier is the key that it was signed with.
func Page(signed []byte, verifier string) ([]byte, error) {
	r, signer, err := VerifyReport(signed, []string{verifier})
	if err != nil {
		return nil, fmt.Errorf("make page: %w", err)
	}
	var b bytes.Buffer
	err = pageTemplate.Execute(&b, map[string]any{
		"Report": r, "Signer": signer, "Verifier": verifier, "Meaning": meanings[r.Verdict], "Note": string(signed),
		"Link": template.URL("data:text/plain;base64," + base64.StdEncoding.EncodeToString(signed)), //nolint:gosec // base64 has no character that means anything here
	})
	if err != nil {
		return nil, fmt.Errorf("make page: %w", err)
	}
	return b.Bytes(), nil
}

// PageError says that the report in a page is genuine, and that the page says something else around it, or was made by another
// version.
type PageError struct{ Report Report }

func (e *PageError) Error() string {
	return fmt.Sprintf("verify page: the report in it is genuine, and the page is not what this version makes of it (it was made by %s): only the report counts", e.Report.Tool)
}

// IsPage reports whether a file is a page with a report in it, rather than a report.
func IsPage(file []byte) bool { return bytes.HasPrefix(file, []byte("<!doctype html>")) }

// VerifyPage is VerifyReport for a page. The error is a *PageError, with the report, if only the page around it was altered.
func VerifyPage(page []byte, verifiers []string) (r Report, signer string, err error) {
	_, rest, ok := bytes.Cut(page, []byte(noteLink))
	text, _, closed := bytes.Cut(rest, []byte(`"`))
	if !ok || !closed {
		return r, "", errors.New("verify page: there is no report in it")
	}
	signed, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(string(text), "&#43;", "+"))
	if err != nil {
		return r, "", fmt.Errorf("verify page: %w", err)
	}
	if r, signer, err = VerifyReport(signed, verifiers); err != nil {
		return r, "", err
	}
	for _, v := range verifiers {
		if again, err := Page(signed, v); err == nil && bytes.Equal(again, page) {
			return r, signer, nil
		}
	}
	return r, signer, &PageError{r}
}
