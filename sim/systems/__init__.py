"""The article's systems: each a pair of runs, the figure that shows it, and the rule that compares it with what was claimed.

    data/systems/*.yaml  ->  declared   what a system is: claim, scenario, variants, checks (validated like a scenario)
                             runs       simulates what is missing, in the store of a sweep, so that it can go on where it stopped
                             verdict    reproduced, refuted or not comparable: from the figures of the runs, by the declared rule
                             page, table, picture, document: the same, for people and for programs

Nothing here knows a result: a verdict exists only after the runs.
"""
