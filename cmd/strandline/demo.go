package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"math"
	mathrand "math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// demo fills a small study through the public LAMP API, and prints lines to try on it.
type demo struct {
	url            []string // of the server, plain HTTP first
	credentialFile string   // of the administrator, empty if there is none
	authority      string   // of HTTPS
	logins         []login
}

// login is somebody who can sign in to the demonstration.
type login struct {
	who string
	credential
}

func newDemo(env lookup, io streams) *cobra.Command {
	var o connection
	var seed uint64
	c := &cobra.Command{
		Use:   "demo",
		Short: "Fill a small study through the LAMP API of a running server",
		Long: `Fill a small study through the LAMP API of a running server: a researcher, a study, three participants with two weeks
of made-up data each, surveys and tags. It prints the logins that it made and lines to try. The credential must be one of
the administrator's. The same seed makes the same data; ids and secrets are drawn anew each time.`,
		Example: "  strandline demo --url http://127.0.0.1:8080 --credential-file data/root-credential.json",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := o.open(env)
			if err != nil {
				return err
			}
			d := demo{url: []string{client.base}, credentialFile: o.credentialFile, authority: o.authority}
			if err := d.fill(c.Context(), client, seed); err != nil {
				return err
			}
			d.print(io.out)
			return nil
		},
	}
	o.flags(c)
	c.Flags().Uint64Var(&seed, "seed", 1, "of the made-up data")
	return c
}

// Sizes of the demonstration.
const (
	demoParticipants = 3
	demoDays         = 14
	dayMillis        = 24 * 60 * 60 * 1000
)

// fill makes the study. What is made up depends on seed and on today's date only.
func (d *demo) fill(ctx context.Context, c *client, seed uint64) error {
	f := &filling{client: c, random: mathrand.New(mathrand.NewPCG(seed, 0)), tag: rand.Text()[:6]}
	researcher := f.create(ctx, "/researcher", map[string]any{"name": "Demonstration"})
	d.logins = append(d.logins, f.login(ctx, "the researcher", researcher, "researcher"))
	study := f.create(ctx, "/researcher/"+researcher+"/study", map[string]any{"name": "Sleep and mood"})
	survey := f.create(ctx, "/study/"+study+"/activity", map[string]any{
		"spec": "lamp.survey", "name": "How was your day?", "category": []string{"assess"},
		"settings": []any{map[string]any{"type": "likert", "text": "Today I felt well.", "options": nil}},
		"schedule": []any{},
	})
	for _, spec := range []string{"lamp.heart_rate", "lamp.sleep", "lamp.steps"} {
		f.create(ctx, "/study/"+study+"/sensor", map[string]any{"spec": spec, "name": spec, "settings": map[string]any{}})
	}
	f.put(ctx, "/type/"+study+"/attachment/demo.contact/Participant", map[string]any{"mail": "help@example.org"})
	for n := range demoParticipants {
		d.logins = append(d.logins, f.participant(ctx, study, survey, n+1))
	}
	return f.err
}

// filling sends one request after the other until one fails.
type filling struct {
	client *client
	random *mathrand.Rand
	tag    string // tells the access keys of one demonstration from another's
	err    error
}

// participant enrols one with a login, a name and two weeks of data.
func (f *filling) participant(ctx context.Context, study, survey string, n int) login {
	id := f.create(ctx, "/study/"+study+"/participant", map[string]any{})
	l := f.login(ctx, fmt.Sprintf("participant %d", n), id, fmt.Sprintf("participant-%d", n))
	f.put(ctx, "/type/"+id+"/attachment/lamp.name/me", fmt.Sprintf("Participant %d", n))
	administrator := f.client
	defer func() { f.client = administrator }()
	f.client = &client{base: administrator.base, credential: l.credential, http: administrator.http} // its data are its own to send
	today := time.Now().UTC().Truncate(24 * time.Hour).UnixMilli()
	for day := range demoDays {
		begin := today - int64(demoDays-day)*dayMillis
		f.post(ctx, "/participant/me/sensor_event", f.sensors(begin))
		f.post(ctx, "/participant/me/activity_event", map[string]any{
			"timestamp": begin + dayMillis*5/6, "duration": 20_000 + f.random.IntN(20_000), "activity": survey, "static_data": map[string]any{},
			"temporal_slices": []any{map[string]any{"item": "Today I felt well.", "value": f.random.IntN(4), "type": nil, "duration": 4000, "level": nil}},
		})
	}
	return l
}

// sensors makes up a day: a pulse every quarter of an hour, steps every hour, and a night's sleep.
func (f *filling) sensors(begin int64) []any {
	event := func(at int64, sensor string, data map[string]any) any {
		return map[string]any{"timestamp": at, "sensor": sensor, "data": data}
	}
	events := []any{event(begin+7*dayMillis/24, "lamp.sleep", map[string]any{"value": "in_sleep", "duration": (6 + 3*f.random.Float64()) * 3_600_000})}
	for quarter := range int64(24 * 4) {
		hour := float64(quarter) / 4
		pulse := 62 + 14*math.Sin((hour-8)/24*2*math.Pi) + 6*f.random.NormFloat64()
		events = append(events, event(begin+quarter*900_000, "lamp.heart_rate", map[string]any{"value": math.Round(pulse), "unit": "bpm"}))
		if quarter%4 == 0 && hour >= 7 && hour < 23 {
			events = append(events, event(begin+quarter*900_000, "lamp.steps", map[string]any{"value": f.random.IntN(1200), "unit": "count"}))
		}
	}
	return events
}

// login makes a credential with a random secret for an object.
func (f *filling) login(ctx context.Context, who, id, name string) login {
	l := login{who, credential{AccessKey: name + "-" + strings.ToLower(f.tag) + "@example.org", SecretKey: rand.Text()}}
	f.post(ctx, "/type/"+id+"/credential", map[string]any{
		"origin": id, "access_key": l.AccessKey, "secret_key": l.SecretKey, "description": "Demonstration",
	})
	return l
}

// create makes an object and returns its id.
func (f *filling) create(ctx context.Context, path string, body any) string {
	answer := f.send(ctx, http.MethodPost, path, body)
	var id string
	if json.Unmarshal(answer, &id) == nil {
		return id
	}
	var object struct{ ID string } // participants come as objects
	if err := json.Unmarshal(answer, &object); err != nil && f.err == nil {
		f.err = fmt.Errorf("POST %s: the answer %s names no id", path, answer)
	}
	return object.ID
}

func (f *filling) post(ctx context.Context, path string, body any) {
	f.send(ctx, http.MethodPost, path, body)
}
func (f *filling) put(ctx context.Context, path string, body any) {
	f.send(ctx, http.MethodPut, path, body)
}

// send returns the member data of the answer.
func (f *filling) send(ctx context.Context, method, path string, body any) json.RawMessage {
	if f.err != nil {
		return nil
	}
	answer, err := f.client.do(ctx, method, path, body, "application/json")
	if err != nil {
		f.err = fmt.Errorf("%s %s: %w", method, path, err)
		return nil
	}
	defer answer.Close()
	var envelope struct{ Data json.RawMessage }
	if err := json.NewDecoder(answer).Decode(&envelope); err != nil {
		f.err = fmt.Errorf("%s %s: %w", method, path, err)
	}
	return envelope.Data
}

// print prints lines that work when they are copied into a shell.
func (d *demo) print(to io.Writer) {
	var b strings.Builder
	if len(d.logins) > 0 {
		b.WriteString("\nA study has been made up. Its logins (access key and secret) are shown only this once:\n\n")
	}
	for _, l := range d.logins {
		fmt.Fprintf(&b, "  %-14s  %-36s  %s\n", l.who, l.AccessKey, l.SecretKey)
	}
	if len(d.logins) > 1 {
		d.printParticipant(&b, d.logins[1])
	}
	if d.credentialFile != "" {
		d.printRoot(&b)
	}
	_, _ = io.WriteString(to, b.String()) // it is for people: where nobody listens, nothing is lost
}

func (d *demo) printParticipant(b *strings.Builder, p login) {
	fmt.Fprintf(b, `
Lines to try. The newest pulses of %s, its own name, and all researchers, which it may not see:

  curl -su '%s:%s' '%[4]s/participant/me/sensor_event?origin=lamp.heart_rate&limit=5'
  curl -su '%[2]s:%[3]s' '%[4]s/type/me/attachment/lamp.name'
  curl -su '%[2]s:%[3]s' '%[4]s/researcher'
`, p.who, p.AccessKey, p.SecretKey, d.url[0])
}

func (d *demo) printRoot(b *strings.Builder) {
	fmt.Fprintf(b, `
As the administrator, whose credential is in %[1]s: all researchers, and everything that has happened as sentences,
that you looked included:

  curl -su "$(sed 's/.*"access_key":"\([^"]*\)","secret_key":"\([^"]*\)".*/\1:\2/' %[1]s)" %[2]s/researcher
  bin/strandline log tail --url %[2]s --credential-file %[1]s --follow
`, d.credentialFile, d.url[0])
	if len(d.url) > 1 {
		fmt.Fprintf(b, `
The LAMP SDK insists on HTTPS: %s, trusting %s.
`, d.url[1], d.authority)
	}
}
