"""Libraries speak through Parity: their bars, hints and warnings are off while it loads and trains. Errors are not."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_NAMES = ("bitsandbytes", "datasets", "peft", "trl", "accelerate", "torch.distributed")


@contextmanager
def quiet() -> Iterator[None]:
    """Inside, only errors are said; imports made for the first time included (bitsandbytes hints at a download)."""
    loggers = [logging.getLogger(name) for name in _NAMES]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield from _transformers_quiet()
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _transformers_quiet() -> Iterator[None]:
    import datasets
    from transformers.utils import logging as theirs

    datasets.disable_progress_bars()
    theirs.disable_progress_bar()
    level = theirs.get_verbosity()
    theirs.set_verbosity_error()
    try:
        import peft  # noqa: F401 - which imports bitsandbytes

        yield
    finally:
        theirs.set_verbosity(level)
