package main

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/url"
	"time"

	"github.com/spf13/pflag"

	"strandline/domain"
	"strandline/readmodels/series"
	"strandline/readmodels/series/influx"
)

// samples are what the doors ask of readmodels/series, wherever it is kept.
type samples interface {
	Wait(ctx context.Context, position domain.Position) error
	Checkpoint() domain.Position
	Each(ctx context.Context, q series.Query) iter.Seq2[series.Sample, error]
	Merged(ctx context.Context, c series.Choice) iter.Seq2[series.Sample, error]
	Latest(ctx context.Context, n series.Newest) iter.Seq2[series.Sample, error]
}

// influxPlace holds the flags that say where samples are kept.
type influxPlace struct{ at address }

const influxToken = "influx-token"

func (p *influxPlace) flags(flags *pflag.FlagSet) {
	flags.Var(&p.at, "influx",
		"where samples are kept: an InfluxDB, as http://HOST:8086?org=ORG&bucket=BUCKET, with 1.8 as http://HOST:8086?bucket=DATABASE/POLICY (default: DIR/readmodels)")
	secretFlags(flags, influxToken, "the token of --influx, with 1.8 USER:PASSWORD")
}

// config is where samples are kept, with the token; nil is the data folder.
func (p *influxPlace) config(env lookup) (*influx.Config, error) {
	config, err := p.parse()
	if err != nil || config == nil {
		return nil, err
	}
	config.Token, err = environmentSecret(env, variable(influxToken))
	return config, err
}

func (p *influxPlace) parse() (*influx.Config, error) {
	if p.at == "" {
		return nil, nil
	}
	config, err := influx.ParseConfig(string(p.at))
	if err != nil {
		return nil, exitWith(exitUsage, fmt.Errorf("--influx: %w", err))
	}
	return &config, nil
}

// inTheClear tells whether others on the way to a server can read what is sent.
func inTheClear(c *influx.Config) bool {
	u, err := url.Parse(c.URL)
	return err == nil && u.Scheme == "http" && u.Hostname() != "localhost" && !net.ParseIP(u.Hostname()).IsLoopback()
}

// openInflux has samples kept in an InfluxDB, which need not be there yet.
func (s *storage) openInflux(t truth, log *slog.Logger) error {
	if inTheClear(t.engines.samples) {
		log.Warn("samples, and the token of --influx, go over the network in the clear: give --influx as https://…, or see that nobody listens there")
	}
	s.influx = influx.New(*t.engines.samples, s.log.Generation().String(), s.clock)
	s.samples = s.influx
	return s.fillElsewhere(s.influx)
}

// samples asks an InfluxDB, if samples are kept in one, whether it can be used, and that it knows of nothing that the log has lost.
func (x *examinee) samples(ctx context.Context, o *doctor) error {
	config, err := o.engines.influx.config(settled(o.settings))
	if err != nil || config == nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	store := influx.New(*config, x.log.Generation.String(), time.Now)
	defer store.Close()
	if inTheClear(config) {
		x.add(finding{Severity: severityWarning, What: "samples, and the token, go over a network in the clear", Where: config.URL, Remedy: "give --influx as https://…"})
	}
	at, err := store.Look(ctx)
	if err != nil {
		x.add(finding{Severity: severityWarning, What: "the InfluxDB that keeps samples cannot be used: " + err.Error(), Where: config.URL,
			Remedy: "mend what it names; the samples come again from the log"})
		return nil
	}
	x.readModel(config.URL, "", at, x.log.Generation.String(), nil)
	x.checked("the InfluxDB at %s, which has the log up to position %s", config.URL, upTo(at))
	return nil
}
