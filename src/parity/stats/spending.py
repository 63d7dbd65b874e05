"""Looking again and again at one question: how much of alpha every look may spend.

Knows how many looks there were before. Refuses to know what was looked at. Every look tests a hypothesis of its own (a
new checkpoint, more items) on data that hang together with the others' in any way, so nothing but the sum of what is
spent may be relied on: with alpha / (k (k + 1)) at look k it is alpha after all looks there can ever be, since
1/2 + 1/6 + 1/12 + ... = 1, and so is the chance that any look says yes where no is true (Bonferroni's inequality).

A confidence sequence spends nothing while it goes on: it is one look. Source: spending by a fixed sequence, Foster &
Stine 2008, JRSS B 70:429-444; Tian & Ramdas 2021, Statistical Methods in Medical Research 30:976-993.
"""


def share(look: int) -> float:
    """The part of alpha that look number `look`, counted from 1, may spend.

    >>> [round(share(look), 4) for look in (1, 2, 3)]
    [0.5, 0.1667, 0.0833]

    Raises:
        ValueError: a look before the first.
    """
    if look < 1:
        raise ValueError(f"look {look}; the first is 1")
    return 1.0 / (look * (look + 1))
