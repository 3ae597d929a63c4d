"""The token bucket of Go's x/time/rate: what client-side limiters and the guards in front of etcd are both made of."""

from sim.ratelimit.bucket import INF_DURATION, Reservation, TokenBucket

__all__ = ["INF_DURATION", "Reservation", "TokenBucket"]
