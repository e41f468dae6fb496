package registry

// Kinds are all kinds, outermost first.
func Kinds() []Kind {
	return []Kind{Researcher, Study, Participant, Activity, Sensor, ActivitySpec, SensorSpec}
}
