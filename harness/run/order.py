"""The order of a round: balanced over the rounds, and drawn by the seed.

What is measured first meets a cooler machine, and each thing meets what the one before it left
behind. So over as many rounds as there are things each stands once in every place (a Latin square),
and where their number is even each also follows every other once: E. J. Williams, Experimental
designs balanced for the estimation of residual effects of treatments, Australian Journal of
Scientific Research A 2 (1949). Shuffling anew each round would often give the same order again.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


def balanced(items: Sequence[T], round_: int, seed: str) -> list[T]:
    """The items in the order of this round.

    The seed says which item takes which part of the square, and in which order its rows come, anew
    each time it is used up.
    """
    count = len(items)
    if not count:
        return []
    cast = Random(seed).sample(items, count)
    cycle, turn = divmod(round_, count)
    shift = Random(f"{seed}/{cycle}").sample(range(count), count)[turn]
    # 0, 1, n − 1, 2, n − 2, …: for even n its steps are all different modulo n
    zigzag = ((i + 1) // 2 if i % 2 else -(i // 2) for i in range(count))
    return [cast[(place + shift) % count] for place in zigzag]
