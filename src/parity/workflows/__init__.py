"""Several rooms in one story. Each story reads top to bottom."""
