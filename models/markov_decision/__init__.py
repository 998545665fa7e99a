"""The score-function gradient of a trajectory: a machine that wears, and when to repair it."""
