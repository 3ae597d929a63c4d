"""Planning: which setting, how many, which knob, how fast it grows: questions that take many runs, asked on top of the sweep store.

    aims          what is required of a setting and what is wished for, as studies and command lines write it
    bench         the runs of settings, out of the store or simulated
    frontier      the largest count that meets the requirements      recommend     the best setting that meets them
    sensitivity   which knobs matter                                 growth        the law behind the points, and where it leads

Every answer is the same whatever the number of workers: what is simulated next depends on finished rounds only.
"""
