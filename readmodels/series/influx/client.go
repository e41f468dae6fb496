package influx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	influxdb "github.com/influxdata/influxdb-client-go/v2"
	"github.com/influxdata/influxdb-client-go/v2/api"
	influxhttp "github.com/influxdata/influxdb-client-go/v2/api/http"

	"strandline/domain"
)

// Config says where an InfluxDB is.
type Config struct {
	URL    string // without a query
	Org    string // empty with 1.8
	Bucket string // database/retention-policy with 1.8
	Token  string // user:password with 1.8; empty where it asks for none
}

// ParseConfig reads http://HOST:PORT?org=ORG&bucket=BUCKET.
func ParseConfig(text string) (Config, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return Config{}, fmt.Errorf("%w: %q is not the URL of an InfluxDB; write it as http://HOST:8086?org=ORG&bucket=BUCKET, and the token apart", domain.ErrInvalid, u.Redacted())
	}
	values, err := url.ParseQuery(u.RawQuery)
	bucket := values.Get("bucket")
	if err != nil || bucket == "" || strings.ContainsFunc(bucket, func(r rune) bool { return strings.ContainsRune("\"\\$", r) || !unicode.IsPrint(r) }) {
		return Config{}, fmt.Errorf("%w: the URL of InfluxDB names no bucket, or not one of plain characters; write it as http://HOST:8086?org=ORG&bucket=BUCKET (with 1.8 without org, and bucket=DATABASE/POLICY)", domain.ErrInvalid)
	}
	for name := range values {
		if name != "org" && name != "bucket" {
			return Config{}, fmt.Errorf("%w: the URL of InfluxDB has org and bucket, not %q", domain.ErrInvalid, name)
		}
	}
	u.RawQuery, u.Fragment = "", ""
	return Config{URL: u.String(), Org: values.Get("org"), Bucket: bucket}, nil
}

// requestTime bounds one request. What is written or read in one takes well under a second.
const requestTime = 20 * time.Second

// server is an InfluxDB.
type server struct {
	config Config
	http   *http.Client
	client influxdb.Client
	known  atomic.Pointer[bool] // whether it is modern, nil until it has told
}

func dial(c Config) *server {
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute,
	}
	s := &server{config: c, http: &http.Client{Transport: transport, Timeout: requestTime}}
	s.client = influxdb.NewClientWithOptions(c.URL, c.Token, influxdb.DefaultOptions().SetHTTPClient(s.http).SetApplicationName("strandline"))
	return s
}

func (s *server) close() {
	s.client.Close()
	s.http.CloseIdleConnections()
}

// write sends lines and returns when the server has them. The asynchronous writer of the client is not used: it drops
// what it cannot send.
func (s *server) write(ctx context.Context, lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	return failed("write", s.client.WriteAPIBlocking(s.config.Org, s.config.Bucket).WriteRecord(ctx, string(lines)))
}

// query runs Flux. The result must be closed. The client's QueryAPI is made anew because it may not be shared: it finds
// out its URL without a lock.
func (s *server) query(ctx context.Context, flux string) (*api.QueryTableResult, error) {
	result, err := s.client.QueryAPI(s.config.Org).Query(ctx, flux)
	return result, failed("query", err)
}

// each calls do for each row of an answer, of which nothing is kept.
func (s *server) each(ctx context.Context, flux string, do func(row) error) error {
	result, err := s.query(ctx, flux)
	if err != nil {
		return err
	}
	defer result.Close()
	for result.Next() {
		if err := do(row{result.Record().Values()}); err != nil {
			return err
		}
	}
	return failed("query", result.Err())
}

// row is a row of an answer.
type row struct{ values map[string]any }

func (r row) text(column string) string {
	text, _ := r.values[column].(string)
	return text
}

// time is the point's.
func (r row) time() int64 {
	at, _ := r.values["_time"].(time.Time)
	return at.UnixNano()
}

// failed names an error. What lies with the server or the way to it is domain.ErrUnavailable; what the server will not
// take however often it is sent is not.
func failed(doing string, err error) error {
	if err == nil {
		return nil
	}
	var answer *influxhttp.Error
	if errors.As(err, &answer) {
		if remedy := remedyFor(answer); remedy != "" {
			return fmt.Errorf("%w: InfluxDB %s: %w; %s", domain.ErrUnavailable, doing, err, remedy)
		}
		switch answer.StatusCode {
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
			return fmt.Errorf("InfluxDB %s: %w", doing, err)
		}
	}
	return fmt.Errorf("%w: InfluxDB %s: %w", domain.ErrUnavailable, doing, err)
}

const tokenRemedy = "give a token that may read and write the bucket"

// remedyFor says what lets a server take what it has refused because of how it is set up; empty where the fault is not there.
func remedyFor(answer *influxhttp.Error) string {
	refusal := answer.Error()
	switch {
	case answer.StatusCode == http.StatusNotFound, strings.Contains(refusal, "no database"), strings.Contains(refusal, "database not found"):
		return "make the bucket, or with 1.8 the database"
	case answer.StatusCode == http.StatusUnauthorized, answer.StatusCode == http.StatusForbidden:
		return tokenRemedy
	case strings.Contains(refusal, "retention policy"):
		return "give the bucket or the retention policy an infinite duration, since samples of all times are kept"
	case strings.Contains(refusal, "limit exceeded"):
		return "raise that limit in the server's configuration, or use index-version = \"tsi1\""
	}
	return ""
}

// modern tells whether the server is of version 2 or later.
func (s *server) modern(ctx context.Context) (bool, error) {
	if known := s.known.Load(); known != nil {
		return *known, nil
	}
	answer, err := s.do(ctx, "GET", "/ping", nil)
	if err != nil {
		return false, err
	}
	answer.Body.Close()
	version := strings.TrimPrefix(answer.Header.Get("X-Influxdb-Version"), "v") // 1.8 may say that it is unknown
	modern := version != "" && version[0] >= '2' && version[0] <= '9'
	s.known.Store(&modern)
	return modern, nil
}

// erase removes the points of measurement with the given tags from from to until, both inclusive: by delete predicate
// where the server has it, else by InfluxQL, which does the same.
func (s *server) erase(ctx context.Context, measurement string, tags []tag, from, until int64) error {
	modern, err := s.modern(ctx)
	if err != nil {
		return err
	}
	if modern {
		predicate := fmt.Sprintf(`_measurement="%s"`, measurement)
		for _, t := range tags {
			predicate += fmt.Sprintf(` AND %s="%s"`, t.key, t.value)
		}
		return failed("delete", s.client.DeleteAPI().DeleteWithName(ctx, s.config.Org, s.config.Bucket, time.Unix(0, from).UTC(), time.Unix(0, until).UTC(), predicate))
	}
	statement := fmt.Sprintf(`DELETE FROM "%s" WHERE time >= %d AND time <= %d`, measurement, from, until)
	for _, t := range tags {
		statement += fmt.Sprintf(` AND "%s" = '%s'`, t.key, t.value)
	}
	return s.influxQL(ctx, statement)
}

// drop removes a whole measurement.
func (s *server) drop(ctx context.Context, measurement string) error {
	modern, err := s.modern(ctx)
	if err != nil {
		return err
	}
	if modern {
		return s.erase(ctx, measurement, nil, earliest, latest)
	}
	return s.influxQL(ctx, fmt.Sprintf(`DROP MEASUREMENT "%s"`, measurement))
}

// influxQL runs a statement of version 1.
func (s *server) influxQL(ctx context.Context, statement string) error {
	told, err := s.ask(ctx, statement)
	if err == nil && told.Error != "" && !strings.Contains(told.Error, "measurement not found") {
		err = fmt.Errorf("%w: InfluxDB delete: %s", domain.ErrUnavailable, told.Error)
	}
	return err
}

// told is what version 1 answers to a statement.
type told struct {
	Error   string
	Results []struct {
		Error  string
		Series []struct {
			Columns []string
			Values  [][]any
		}
	}
}

func (s *server) ask(ctx context.Context, statement string) (t told, err error) {
	answer, err := s.do(ctx, "POST", "/query", url.Values{"db": {s.database()}, "q": {statement}})
	if err != nil {
		return t, err
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&t); err != nil {
		return t, fmt.Errorf("%w: InfluxDB /query: %w", domain.ErrUnavailable, err)
	}
	for _, r := range t.Results {
		t.Error += r.Error
	}
	return t, nil
}

// database is what version 1 takes for the first part of a bucket.
func (s *server) database() string {
	name, _, _ := strings.Cut(s.config.Bucket, "/")
	return name
}

// from is a measurement as statements that read name it.
func (s *server) from(measurement string) string {
	if _, policy, named := strings.Cut(s.config.Bucket, "/"); named {
		return fmt.Sprintf(`"%s"."%s"`, policy, measurement)
	}
	return fmt.Sprintf(`"%s"`, measurement)
}

// keeps makes sure that the bucket keeps samples for ever, as far as whoever has the token is told.
func (s *server) keeps(ctx context.Context) error {
	modern, err := s.modern(ctx)
	if err != nil {
		return err
	}
	length := ""
	if modern {
		length = s.bucketKeeps(ctx)
	} else if length, err = s.policyKeeps(ctx); err != nil {
		return err
	}
	if length != "" {
		return fmt.Errorf("%w: the bucket %s keeps samples for %s only: give it an infinite duration", domain.ErrUnavailable, s.config.Bucket, length)
	}
	return nil
}

// bucketKeeps is for how long a bucket of version 2 keeps points; empty is for ever, or unknown.
func (s *server) bucketKeeps(ctx context.Context) string {
	bucket, err := s.client.BucketsAPI().FindBucketByName(ctx, s.config.Bucket)
	if err != nil || bucket == nil || len(bucket.RetentionRules) == 0 || bucket.RetentionRules[0].EverySeconds == 0 {
		return ""
	}
	return (time.Duration(bucket.RetentionRules[0].EverySeconds) * time.Second).String()
}

// policyKeeps is for how long a retention policy of version 1 keeps points; empty is for ever, or unknown.
func (s *server) policyKeeps(ctx context.Context) (string, error) {
	told, err := s.ask(ctx, fmt.Sprintf(`SHOW RETENTION POLICIES ON "%s"`, s.database()))
	if err != nil || told.Error != "" || len(told.Results) == 0 || len(told.Results[0].Series) == 0 {
		return "", err
	}
	_, wanted, named := strings.Cut(s.config.Bucket, "/")
	for _, policy := range told.Results[0].Series[0].Values { // name, duration, …, whether it is the default
		name, _ := policy[0].(string)
		length, _ := policy[1].(string)
		usual, _ := policy[len(policy)-1].(bool)
		if (named && name == wanted || !named && usual) && length != "0s" {
			return length, nil
		}
	}
	return "", nil
}

// do sends a request that the client has no words for.
func (s *server) do(ctx context.Context, method, path string, form url.Values) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(s.config.URL, "/")+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if s.config.Token != "" {
		request.Header.Set("Authorization", "Token "+s.config.Token)
	}
	answer, err := s.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w: InfluxDB %s: %w", domain.ErrUnavailable, path, err)
	}
	switch {
	case answer.StatusCode == http.StatusUnauthorized, answer.StatusCode == http.StatusForbidden:
		err = fmt.Errorf("%w: InfluxDB %s: %s; %s", domain.ErrUnavailable, path, answer.Status, tokenRemedy)
	case answer.StatusCode >= 500:
		err = fmt.Errorf("%w: InfluxDB %s: %s", domain.ErrUnavailable, path, answer.Status)
	}
	if err != nil {
		answer.Body.Close()
		return nil, err
	}
	return answer, nil
}
