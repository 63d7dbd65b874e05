"""Worked examples by the rules of the reference harness.

lm-evaluation-harness draws them from one generator a task, seeded with 1234 (`fewshot_random_seed`), question after
question in the order of the data: question k gets the k-th draw of n without replacement. So the shots of an item
depend on where it stands, and on nothing else. Other tasks take the first n, always the same.
"""

import random
from collections.abc import Sequence
from typing import TypeVar

SEED = 1234
Shot = TypeVar("Shot")


def drawn(pool: Sequence[Shot], count: int, items: int, seed: int = SEED) -> list[tuple[Shot, ...]]:
    """For each of `items` questions, `count` examples of the pool.

    >>> drawn("abcdef", 2, 2) == drawn("abcdef", 2, 3)[:2]
    True
    """
    generator = random.Random(seed)
    listed = list(pool)
    return [tuple(generator.sample(listed, count)) for _ in range(items)]
