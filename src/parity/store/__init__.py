"""What happened, kept for ever: the workspace folder, its database, every answer and every run."""

from parity.store.workspace import Workspace

__all__ = ["Workspace"]
