"""Golden traces: what a real library answered, call by call, replayed on our mechanisms."""
