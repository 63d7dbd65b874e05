"""Where weights come from and what they are, without running them. Never imports torch."""
