"""Sweeps: many settings of one scenario, on common random numbers, resumable, on any executor.

`values` reads what a knob is given, `design` makes points of knobs, `study` is what was asked for, `plan` what has to run,
`store` what has run, `runner` the loop between them, `rows` what it says, `effects` which knobs said nothing, `gate` replications
until objectives are decided, `api` the function.
"""
