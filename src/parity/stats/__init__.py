"""Textbook statistics for two models that answered the same items.

Knows: counts of right and wrong answers, and what can be concluded from them: intervals, paired tests,
non-inferiority evidence, and how many items a verdict needs. Counts and arrays in, small frozen results out.

Refuses to know: models, benchmarks, runs, verdict names, files. It imports numpy and scipy and nothing of
parity, so that a statistician can review each file alone against published tables.

    intervals        one proportion: Wilson, Clopper-Pearson
    paired           two paired proportions: McNemar's test, Tango's score interval (approximate)
    exact            the same difference without approximation, for few items
    bounded          graded or clustered differences in [-1, 1], whatever their shape
    graded           the t interval and the bootstrap-t of graded differences
    clustered        the cluster-robust interval and the wild bootstrap
    sequential       bounds that may be looked at after every item
    forecasts        what a candidate will score, learned from other models' runs
    predicted        the same bets on what such a forecast missed
    contamination    whether the order or the options of a test are known by heart
    budget           where the uncertainty comes from, and what shrinks it
    noninferiority   which of these is used when, and what it proves about a margin
    spending         looking again at one question without buying a false yes
    power            how many items a verdict needs
    distributions    the few special functions all of the above stand on

Nothing is imported here: scipy costs a quarter of a second, and only those who compute should pay it.
"""
