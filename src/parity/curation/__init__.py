"""Training data: rows in from any format, split without leaks, and audited as the model will see them.

Knows no benchmark: what may not be trained on arrives as fingerprints.
"""
