"""Training loops and schedules."""
