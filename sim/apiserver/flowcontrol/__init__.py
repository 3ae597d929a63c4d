"""API Priority and Fairness: levels with seats, fair queues of flows, borrowing, Retry-After."""
