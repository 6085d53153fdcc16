"""The same work against peers, side by side: what the transition engine costs."""
