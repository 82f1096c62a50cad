package config

import (
	"fmt"
	"slices"

	"github.com/backstaydb/backstay/internal/secret"
)

// Hooks are what an owner wants done before and after work on a source.
type Hooks struct {
	BeforeBase    []Hook `yaml:"before_base,omitempty" json:"before_base,omitempty" doc:"before a base that is due or asked for is taken"`
	AfterBase     []Hook `yaml:"after_base,omitempty" json:"after_base,omitempty" doc:"after it, whatever came of it"`
	BeforeRestore []Hook `yaml:"before_restore,omitempty" json:"before_restore,omitempty" doc:"before a restore writes anything"`
	AfterRestore  []Hook `yaml:"after_restore,omitempty" json:"after_restore,omitempty" doc:"after it, whatever came of it"`
	BeforeDrill   []Hook `yaml:"before_drill,omitempty" json:"before_drill,omitempty" doc:"before a drill"`
	AfterDrill    []Hook `yaml:"after_drill,omitempty" json:"after_drill,omitempty" doc:"after it, whatever came of it"`
}

// Hook is one thing to be done.
type Hook struct {
	Command   []string `yaml:"command,omitempty" json:"command,omitempty" doc:"a program and its arguments, run in the folder of this file; it finds what it is about in BACKSTAY_MOMENT, BACKSTAY_WORK, BACKSTAY_SOURCE, BACKSTAY_JOB, BACKSTAY_OUTCOME, BACKSTAY_ERROR and as JSON on its standard input"`
	HTTP      string   `yaml:"http,omitempty" json:"http,omitempty" doc:"an address that the same JSON is posted to; one with a secret is found at env:NAME, file:PATH, command:… or credential:NAME"`
	Timeout   Span     `yaml:"timeout,omitempty" json:"timeout,omitempty" doc:"for how long it may take, then it is ended with all that it started; 30s if not given"`
	OnFailure string   `yaml:"on_failure,omitempty" json:"on_failure,omitempty" doc:"stop (the default): the work is not begun, or counts as failed; go_on: the log and the audit log say so" enum:"stop,go_on"`
}

// IsZero reports whether there are none.
func (h Hooks) IsZero() bool {
	for _, list := range h.all() {
		if len(*list) > 0 {
			return false
		}
	}
	return true
}

func (h *Hooks) all() []*[]Hook {
	return []*[]Hook{&h.BeforeBase, &h.AfterBase, &h.BeforeRestore, &h.AfterRestore, &h.BeforeDrill, &h.AfterDrill}
}

// over is h, with what is not given there taken from class.
func (h Hooks) over(class Hooks) Hooks {
	own, theirs := h.all(), class.all()
	for i := range own {
		if len(*own[i]) == 0 {
			*own[i] = slices.Clone(*theirs[i])
		}
	}
	return h
}

// For are the hooks of a moment ("before", "after") of a kind of work ("base", "restore", "drill").
func (h Hooks) For(moment, work string) []Hook {
	return map[string][]Hook{
		"before base": h.BeforeBase, "after base": h.AfterBase, "before restore": h.BeforeRestore, "after restore": h.AfterRestore,
		"before drill": h.BeforeDrill, "after drill": h.AfterDrill,
	}[moment+" "+work]
}

// hooks checks what the types cannot say.
func (p *parser) hooks(h Hooks, group, name string) error {
	tok, _ := p.find(group, name, "hooks")
	for _, list := range h.all() {
		for _, one := range *list {
			switch {
			case (len(one.Command) == 0) == (one.HTTP == ""):
				return p.at(tok, fmt.Sprintf("a hook of %s has neither command nor http, or both", name), "as in { command: [./freeze, orders] } or { http: \"https://…\" }")
			case one.HTTP != "" && !secret.IsReference(one.HTTP) && secretIn(one.HTTP) != "":
				return p.at(tok, fmt.Sprintf("a hook of %s carries %s; no secret stands in this file", name, secretIn(one.HTTP)), "write http: env:NAME, file:PATH or credential:NAME")
			}
		}
	}
	return nil
}
