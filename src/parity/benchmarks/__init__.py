"""Frozen question sets and their protocols: what is asked, how, and which rule marks the answer."""
