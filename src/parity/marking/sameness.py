"""When two answers are one and the same, so that no judge and no marker could tell them apart."""

import unicodedata


def canonical(text: str) -> str:
    """An answer without what nobody reads: Unicode composed (NFC), every run of white space one space, none outside.

    Case, punctuation and the order of words stay: they may be what a judge is asked about. Indentation goes with the
    white space, so that answers which are run as programs are not compared by this.

    >>> canonical("Yes,\\n it is. ") == canonical("Yes, it is.")
    True
    """
    return " ".join(unicodedata.normalize("NFC", text).split())
