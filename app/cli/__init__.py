"""Commands of `faust -A app`."""
