"""Prometheus metrics: all of them as one table, histograms for hot paths, collectors."""
