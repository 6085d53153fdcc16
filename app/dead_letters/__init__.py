"""The dead-letter log, and redriving what is in it."""
