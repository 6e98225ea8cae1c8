"""What a node shows of itself: counters and structured logs."""
