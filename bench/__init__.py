"""Benchmarks of the engine and of Quix Streams on the same workload; ratios are printed, not asserted."""
