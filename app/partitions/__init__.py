"""More partitions: the generations of a platform's topics, and how the next one is made from the last."""
