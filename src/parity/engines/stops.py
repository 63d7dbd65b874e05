"""Stop strings: where an answer ends, in one piece or as it streams."""


def cut(text: str, stops: tuple[str, ...]) -> tuple[str, bool]:
    """The text before the earliest stop string, and whether one was found.

    >>> cut("B\\nNext", ("\\n",))
    ('B', True)
    """
    found = [at for at in (text.find(stop) for stop in stops if stop) if at >= 0]
    return (text[: min(found)], True) if found else (text, False)


class StreamCutter:
    """Passes text on while it cannot be the beginning of a stop string.

    >>> cutter = StreamCutter(("END",))
    >>> cutter.feed("one E"), cutter.feed("ND two"), cutter.stopped
    ('one ', '', True)
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.stopped = False

    def feed(self, piece: str) -> str:
        """Text that is certainly part of the answer."""
        if self.stopped:
            return ""
        text, self.stopped = cut(self._held + piece, self._stops)
        keep = 0 if self.stopped else self._possible_beginning(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def finish(self) -> str:
        """What was held back, now that no stop string can complete it."""
        held, self._held = self._held, ""
        return held

    def _possible_beginning(self, text: str) -> int:
        longest = max((len(stop) - 1 for stop in self._stops), default=0)
        for length in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stops):
                return length
        return 0
