"""The same work against peers, in turns on one machine; ratios are printed, never asserted."""
