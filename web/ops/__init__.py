"""The JSON API of operators, and health."""
