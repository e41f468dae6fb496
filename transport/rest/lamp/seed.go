package lamp

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/registry"
	"strandline/transport/rest"
)

// Specifications of a fresh installation: what the dashboard offers (contract, sections 5.6 and 11).
const (
	seededSensors = `lamp.analytics lamp.accelerometer lamp.gyroscope lamp.magnetometer lamp.device_motion lamp.gps
		lamp.nearby_device lamp.steps lamp.sleep lamp.heart_rate lamp.blood_pressure lamp.telephony lamp.sms
		lamp.screen_state lamp.device_state lamp.segment lamp.flights lamp.distance lamp.weight lamp.height`
	seededActivities = `lamp.survey lamp.group lamp.module lamp.tips lamp.journal lamp.breathe lamp.scratch_image
		lamp.dbt_diary_card lamp.recording lamp.voice_survey lamp.medications lamp.goals lamp.zoom_meeting
		lamp.symbol_digit_substitution lamp.maze_game lamp.emotion_recognition lamp.pop_the_bubbles lamp.spin_wheel
		lamp.jewels_a lamp.jewels_b lamp.spatial_span lamp.balloon_risk lamp.cats_and_dogs lamp.trails_b
		lamp.memory_game lamp.fragmented_letters lamp.digit_span lamp.funny_memory lamp.dcog lamp.gyroscope`
)

// Seed adds the specifications that a fresh installation offers, as the system. It may be repeated, at each start or
// after a crash half-way: what was seeded once is not seeded again, even if it was changed or removed since.
func Seed(ctx context.Context, bus *commands.Bus, keys rest.Hasher) error {
	for _, seeded := range []struct {
		kind  registry.Kind
		names string
	}{{registry.ActivitySpec, seededActivities}, {registry.SensorSpec, seededSensors}} {
		for _, name := range strings.Fields(seeded.names) {
			if err := seed(ctx, bus, keys, seeded.kind, name); err != nil {
				return fmt.Errorf("seed %s %s: %w", seeded.kind, name, err)
			}
		}
	}
	return nil
}

func seed(ctx context.Context, bus *commands.Bus, keys rest.Hasher, kind registry.Kind, name string) error {
	request, err := uuid.NewV7()
	if err != nil {
		return err
	}
	meta := commands.Meta{Request: domain.ID(request), Dialect: "system", IdempotencyKey: "seed " + string(kind) + " " + name}
	_, err = bus.Do(ctx, bus.System(), meta, registry.Add{Key: rest.SpecKey(keys, name), Kind: kind, ID: name})
	if errors.Is(err, registry.ErrExists) {
		return nil
	}
	return err
}
