package main

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"strandline/readmodels/documents"
	"strandline/readmodels/documents/couch"
	"strandline/readmodels/series"
	"strandline/readmodels/series/influx"
)

// enginePlaces holds the flags that say which read models are kept in engines elsewhere.
type enginePlaces struct {
	couchdb address
	influx  influxPlace
}

func (p *enginePlaces) flags(flags *pflag.FlagSet) {
	flags.Var(&p.couchdb, "couchdb",
		"http://USER:PASSWORD@HOST:PORT/PREFIX: keep documents in CouchDB, in databases whose names begin with PREFIX (default: in DIR/readmodels)")
	secretFlags(flags, "couchdb-password", "the password of the user in --couchdb")
	p.influx.flags(flags)
}

// engines are what keeps read models elsewhere; nil are those in the data folder.
type engines struct {
	documents *couch.Store
	samples   *influx.Config
}

// open takes the addresses. The engines need not be there.
func (p *enginePlaces) open(env lookup) (e engines, err error) {
	if e.samples, err = p.influx.config(env); err != nil {
		return e, err
	}
	config, err := p.couch(env)
	if err != nil || config.URL == "" {
		return e, err
	}
	e.documents, err = couch.New(config)
	return e, exitWith(exitUsage, err)
}

// couch is where CouchDB is; zero for nowhere.
func (p *enginePlaces) couch(env lookup) (couch.Config, error) {
	password, err := environmentSecret(env, "STRANDLINE_COUCHDB_PASSWORD")
	if err != nil || p.couchdb == "" {
		return couch.Config{}, err
	}
	config, err := couch.ParseConfig(string(p.couchdb))
	switch {
	case err != nil:
		return config, exitWith(exitUsage, fmt.Errorf("--couchdb: %w", err))
	case password == "":
		return config, nil
	case config.Password != "":
		return config, exitWith(exitUsage, errors.New("--couchdb holds a password, and STRANDLINE_COUCHDB_PASSWORD or its file does, too: give one"))
	case config.User == "":
		return config, exitWith(exitUsage, errors.New("STRANDLINE_COUCHDB_PASSWORD is for a user: write --couchdb as http://USER@HOST:PORT/PREFIX"))
	}
	config.Password = password
	return config, nil
}

// engineOf names the engine that keeps a read model, with what goes between it and what is the matter with it; empty for the
// data folder.
func (s *storage) engineOf(name string) string {
	_, inCouch := s.documents.(*couch.Store)
	switch {
	case inCouch && name == documents.Schema.Name:
		return "CouchDB: "
	case s.influx != nil && name == series.Schema.Name:
		return "InfluxDB: "
	}
	return ""
}
