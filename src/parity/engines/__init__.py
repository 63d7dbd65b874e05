"""Something that answers requests for one model. The only room where backends differ."""
