package config

// Receiver is somebody who is told what changed.
type Receiver struct {
	To            string   `yaml:"to" json:"to" doc:"where: a URL such as slack://…, smtp://…, webhook+https://…, alertmanager+http://… without secrets, or where the URL with its secret is found: env:NAME, file:PATH, command:PROGRAM ARGUMENTS, credential:NAME (systemd)" required:"true"`
	At            []string `yaml:"at,omitempty" json:"at,omitempty" doc:"the least severity that it is told: what is worse is told too; warning if not given" enum:"info,warning,critical"`
	Sources       []string `yaml:"sources,omitempty" json:"sources,omitempty" doc:"names of sources; all if not given"`
	Classes       []string `yaml:"classes,omitempty" json:"classes,omitempty" doc:"names of classes; all if not given"`
	Quiet         string   `yaml:"quiet,omitempty" json:"quiet,omitempty" doc:"hours in which only what is critical is told, as in 22:00-07:00 Europe/Berlin; the rest is summed up at their end"`
	EscalateAfter Span     `yaml:"escalate_after,omitempty" json:"escalate_after,omitempty" doc:"it is told only what has lasted for so long"`
	Summary       string   `yaml:"summary,omitempty" json:"summary,omitempty" doc:"at what time of the day it is told how all sources are doing, as in 08:00 Europe/Berlin"`
	Secret        string   `yaml:"hmac,omitempty" json:"hmac,omitempty" doc:"of a webhook: where the key is found that signs what is sent, as in env:NAME"`
	Ping          Span     `yaml:"ping,omitempty" json:"ping,omitempty" doc:"how often a dead man's switch is told that all is well, as in 5m; to is then its URL"`
}

// Metrics is where Prometheus reads.
type Metrics struct {
	Listen string `yaml:"listen" json:"listen" doc:"address and port of /metrics and /healthz, as in 127.0.0.1:9465" required:"true"`
}

// Trace is where traces go.
type Trace struct {
	OTLP string `yaml:"otlp" json:"otlp" doc:"a collector that speaks OTLP over HTTP, as in http://127.0.0.1:4318; headers with credentials are given in OTEL_EXPORTER_OTLP_HEADERS. It is read when the daemon begins" required:"true"`
}
