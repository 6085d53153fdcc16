"""The audit log of what operators do."""
