"""Ask one model many things: resumable, within a budget, in an order fixed before the first answer.

Sees core items and requests only; measuring, judging and distilling are all this one act.
"""
