"""What a model's tokens cost at a date: the book that ships with Parity, and the user's own prices before it."""
