package cli

import (
	"io"
	"net/url"
	"path/filepath"

	"github.com/isthmus-mesh/isthmus/internal/version"
)

// The part of SARIF 2.1.0 (https://docs.oasis-open.org/sarif/sarif/v2.1.0/) that a list of problems needs.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		Version        string      `json:"version"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string    `json:"id"`
		ShortDescription sarifText `json:"shortDescription"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations,omitempty"`
	}
	sarifLocation struct {
		Physical sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI       string `json:"uri"`
		URIBaseID string `json:"uriBaseId"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn,omitempty"`
	}
)

// The rules: what the repository says, what a cluster would get of it, and what is a note only.
var sarifRules = []sarifRule{
	{"mesh", sarifText{"The mesh repository holds a mistake"}},
	{"resource", sarifText{"A cluster would get a resource that Istio refuses"}},
	{"endpoints", sarifText{"A call has no endpoints"}},
}

func writeSARIF(w io.Writer, r vetReport, dir string) error {
	below := checkout(dir)
	results := []sarifResult{}
	add := func(p problem, rule int, level string) {
		results = append(results, sarifResult{
			RuleID:    sarifRules[rule].ID,
			RuleIndex: rule,
			Level:     level,
			Message:   sarifText{p.text(known(r.Summary.Clusters))},
			Locations: p.sarifLocations(below),
		})
	}
	for _, p := range r.Problems {
		rule := 0
		if len(p.Clusters) > 0 {
			rule = 1
		}
		add(p, rule, "error")
	}
	for _, p := range r.Notes {
		add(p, 2, "note")
	}
	return encodeJSON(w, sarifLog{
		Schema:  "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
		Version: "2.1.0",
		Runs: []sarifRun{{
			Tool: sarifTool{sarifDriver{
				Name:           "isthmus",
				Version:        version.Get().Version,
				InformationURI: "https://github.com/isthmus-mesh/isthmus",
				Rules:          sarifRules,
			}},
			// CUE counts columns in bytes, which SARIF does not know; for ASCII it is all the same.
			ColumnKind: "unicodeCodePoints",
			Results:    results,
		}},
	})
}

func (p problem) sarifLocations(below string) []sarifLocation {
	if p.File == "" {
		return nil
	}
	place := sarifPhysical{Artifact: sarifArtifact{
		URI:       (&url.URL{Path: filepath.ToSlash(filepath.Join(below, filepath.FromSlash(p.File)))}).String(),
		URIBaseID: "%SRCROOT%",
	}}
	if p.Line > 0 {
		place.Region = &sarifRegion{StartLine: p.Line, StartColumn: p.Column}
	}
	return []sarifLocation{{place}}
}
