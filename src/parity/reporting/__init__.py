"""How results read: one page of blocks, drawn in a terminal or written as Markdown; JSON for machines.

Fractions become per cent and points here, and nowhere else.
"""
