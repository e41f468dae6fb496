package couch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-kivik/kivik/v4"
	"github.com/go-kivik/kivik/v4/couchdb"

	"strandline/domain"
	"strandline/readmodels"
)

// Config says where a CouchDB is.
type Config struct {
	URL            string // without user and prefix
	User, Password string // empty where none is asked for
	Prefix         string // begins the names of our databases
}

var prefixes = regexp.MustCompile(`^[a-z][a-z0-9_$()+-]{0,99}$`)

// ParseConfig reads http://USER:PASSWORD@HOST:PORT/PREFIX. Its errors do not repeat what may be a password.
func ParseConfig(text string) (Config, error) {
	const form = "write it as http://USER:PASSWORD@HOST:5984/PREFIX"
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return Config{}, fmt.Errorf("%w: this is not the URL of a CouchDB; %s", domain.ErrInvalid, form)
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return Config{}, fmt.Errorf("%w: the URL of CouchDB has neither ? nor #; %s", domain.ErrInvalid, form)
	}
	path := strings.TrimSuffix(u.Path, "/")
	slash := strings.LastIndex(path, "/")
	prefix := path[slash+1:]
	if !prefixes.MatchString(prefix) {
		return Config{}, fmt.Errorf("%w: the URL of CouchDB ends with the prefix %q: it begins with a letter, and has only small letters, digits and _$()+-; %s",
			domain.ErrInvalid, prefix, form)
	}
	c := Config{User: u.User.Username(), Prefix: prefix}
	c.Password, _ = u.User.Password()
	u.User, u.Path, u.RawPath = nil, path[:max(slash, 0)], ""
	c.URL = u.String()
	return c, nil
}

// Bounds of one request.
const (
	dialTime    = 3 * time.Second
	requestTime = 10 * time.Second
	pageSize    = 200     // documents
	batchSize   = 1 << 20 // bytes
)

// server is a CouchDB.
type server struct {
	config    Config
	transport *http.Transport
	client    *kivik.Client
}

func dial(c Config) (*server, error) {
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: dialTime}).DialContext,
		MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute,
	}
	options := []kivik.Option{
		couchdb.OptionHTTPClient(&http.Client{Transport: transport}),
		couchdb.OptionNoRequestCompression(), couchdb.OptionUserAgent("strandline"),
	}
	if c.User != "" {
		options = append(options, couchdb.BasicAuth(c.User, c.Password))
	}
	client, err := kivik.New("couch", c.URL, options...)
	if err != nil {
		return nil, fmt.Errorf("%w: CouchDB: %w", domain.ErrInvalid, err)
	}
	return &server{c, transport, client}, nil
}

func (s *server) close() error {
	err := s.client.Close()
	s.transport.CloseIdleConnections()
	return err
}

// bounded bounds one request, and lets go of what its answer holds when stop is called.
func bounded(ctx context.Context) (_ context.Context, stop context.CancelFunc) {
	return context.WithTimeout(ctx, requestTime)
}

// errMissing is for a database, or a single document, that is not there.
var errMissing = errors.New("it is not there")

// errConflict is for a document that has changed since it was read.
var errConflict = errors.New("it has changed meanwhile")

// failed names an error. What lies with the server or the way to it is domain.ErrUnavailable; what the server will not
// take however often it is sent is not.
func failed(doing string, err error) error {
	if err == nil {
		return nil
	}
	switch kivik.HTTPStatus(err) {
	case http.StatusNotFound:
		return fmt.Errorf("CouchDB %s: %w", doing, errMissing)
	case http.StatusConflict:
		return fmt.Errorf("CouchDB %s: %w", doing, errConflict)
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		return fmt.Errorf("CouchDB %s: %w", doing, err)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w: CouchDB %s: %w; give user and password of a server admin", domain.ErrUnavailable, doing, err)
	}
	return fmt.Errorf("%w: CouchDB %s: %w", domain.ErrUnavailable, doing, err)
}

// create makes a database for server admins only, if it is not there: before CouchDB 3, everybody could read new ones.
func (s *server) create(ctx context.Context, database string) error {
	ctx, stop := bounded(ctx)
	defer stop()
	err := s.client.CreateDB(ctx, database)
	if kivik.HTTPStatus(err) == http.StatusPreconditionFailed {
		return nil
	}
	if err != nil {
		return failed("make database", err)
	}
	admins := kivik.Members{Roles: []string{"_admin"}}
	return failed("close database to others", s.client.DB(database).SetSecurity(ctx, &kivik.Security{Admins: admins, Members: admins}))
}

// drop removes a database, if it is there.
func (s *server) drop(ctx context.Context, database string) error {
	ctx, stop := bounded(ctx)
	defer stop()
	err := failed("drop database", s.client.DestroyDB(ctx, database))
	if errors.Is(err, errMissing) {
		return nil
	}
	return err
}

// get reads a document. One that is not there is errMissing, and so is its database.
func (s *server) get(ctx context.Context, database, id string, into any) error {
	ctx, stop := bounded(ctx)
	defer stop()
	return failed("read", s.client.DB(database).Get(ctx, id).ScanDoc(into))
}

// put writes a document and returns its revision.
func (s *server) put(ctx context.Context, database, id string, document any) (string, error) {
	ctx, stop := bounded(ctx)
	defer stop()
	rev, err := s.client.DB(database).Put(ctx, id, document)
	return rev, failed("write", err)
}

// databases lists all of them.
func (s *server) databases(ctx context.Context) ([]string, error) {
	ctx, stop := bounded(ctx)
	defer stop()
	all, err := s.client.AllDBs(ctx)
	return all, failed("list databases", err)
}

// putAll writes documents and tells which of them, by id, had changed meanwhile.
func (s *server) putAll(ctx context.Context, database string, documents []any) (conflicts map[string]bool, err error) {
	conflicts = map[string]bool{}
	for some := range slices.Chunk(documents, pageSize) {
		if err := s.putSome(ctx, database, some, conflicts); err != nil {
			return nil, err
		}
	}
	return conflicts, nil
}

// putSome writes documents with one request, and adds to conflicts.
func (s *server) putSome(ctx context.Context, database string, documents []any, conflicts map[string]bool) error {
	ctx, stop := bounded(ctx)
	defer stop()
	results, err := s.client.DB(database).BulkDocs(ctx, documents)
	if err != nil {
		return failed("write", err)
	}
	for _, r := range results {
		switch {
		case r.Error == nil:
		case kivik.HTTPStatus(r.Error) == http.StatusConflict:
			conflicts[r.ID] = true
		default:
			return fmt.Errorf("%w: CouchDB refuses document %s: %w", domain.ErrUnavailable, r.ID, r.Error)
		}
	}
	return nil
}

// row is a document as lists give it.
type row[T any] struct {
	ID    string
	Rev   string
	Doc   T    // if it was asked for
	Alien bool // the document is not of that kind
}

// listed reads the documents with some ids, and calls do for each that is there, in the order of ids.
func listed[T any](ctx context.Context, s *server, database string, ids []string, do func(row[T]) error) error {
	for some := range slices.Chunk(ids, pageSize) {
		page, err := rows[T](ctx, s, database, true, kivik.Param("keys", some))
		if err != nil {
			return err
		}
		for _, r := range page {
			if r.Alien {
				return fmt.Errorf("%w: somebody has changed document %s of CouchDB", readmodels.ErrDamaged, r.ID)
			}
			if err := do(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// ranged reads the documents from one id to another, exclusive, and calls do for each but those that
// others have put there, in the order of ids. Without docs only ids and revisions are read.
func ranged[T any](ctx context.Context, s *server, database, start, end string, docs bool, do func(row[T]) error) error {
	for {
		page, err := rows[T](ctx, s, database, docs, kivik.Param("startkey", start), kivik.Param("endkey", end),
			kivik.Param("inclusive_end", false), kivik.Param("limit", pageSize))
		if err != nil {
			return err
		}
		for _, r := range page {
			if r.Alien {
				continue
			}
			if err := do(r); err != nil {
				return err
			}
		}
		if len(page) < pageSize {
			return nil
		}
		start = page[len(page)-1].ID + " " // no id of ours has a space
	}
}

// rows reads the rows of an answer that have a document.
func rows[T any](ctx context.Context, s *server, database string, docs bool, how ...kivik.Option) (page []row[T], err error) {
	ctx, stop := bounded(ctx)
	defer stop()
	result := s.client.DB(database).AllDocs(ctx, append(how, kivik.Param("include_docs", docs))...)
	defer result.Close()
	for result.Next() {
		r, there, err := scan[T](result, docs)
		if err != nil {
			return nil, err
		}
		if there {
			page = append(page, r)
		}
	}
	return page, failed("read", result.Err())
}

// scan reads a row. Rows of documents that are not there, or are deleted, have no id, or say so.
func scan[T any](result *kivik.ResultSet, docs bool) (r row[T], there bool, err error) {
	var value struct {
		Rev     string
		Deleted bool
	}
	if r.ID, err = result.ID(); err != nil || r.ID == "" {
		return r, false, nil
	}
	if err := result.ScanValue(&value); err != nil {
		return r, false, fmt.Errorf("%w: CouchDB answers with %w", domain.ErrUnavailable, err)
	}
	if value.Deleted {
		return r, false, nil
	}
	r.Rev = value.Rev
	r.Alien = docs && result.ScanDoc(&r.Doc) != nil
	return r, true, nil
}
