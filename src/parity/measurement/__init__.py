"""From scores to the gap: pairing, verdict, slices; and what others measured, read as if we had."""
