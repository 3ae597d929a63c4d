"""The controller side, call for call as client-go and controller-runtime: limiters, queues, FIFOs, store, events.

Everything here is sans-IO: `now` comes in as whole nanoseconds, an answer goes out. README.md has the table of what
is exact.
"""
