"""The controllers under study: what they remember and what they decide. No SimPy in this room."""
