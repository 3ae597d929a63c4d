"""Defences under study: what refuses a request before it does harm. Plain state machines."""
