"""Sets of nodes: one bit a node, `WORD` in a word, as Slurm's own plans have them (its ``bitstr_t``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.tables import Ints

WORD: Final = 62  # so that neither a set of all nor one more than that overflows


@kernel
def _ones(word: int) -> int:
    """How many bits of a word are set: by pairs, fours, bytes, and the sum of these."""
    word = word - ((word >> 1) & 0x5555555555555555)
    word = (word & 0x3333333333333333) + ((word >> 2) & 0x3333333333333333)
    word = (word + (word >> 4)) & 0x0F0F0F0F0F0F0F0F
    word = word + (word >> 8)
    word = word + (word >> 16)
    return (word + (word >> 32)) & 0x7F


@kernel
def count(words: Ints, low: int, high: int) -> int:
    """Members from ``low`` to ``high``; at least one could be."""
    first, last = low // WORD, (high - 1) // WORD
    n = 0
    for w in range(first, last + 1):
        n += _ones(words[w])
    n -= _ones(words[first] & ((1 << (low - first * WORD)) - 1))
    return n - _ones(words[last] >> (high - last * WORD))


@kernel
def fill(words: Ints, every: bool) -> None:
    """Let the set be empty, or of ``every`` node."""
    for w in range(words.size):
        words[w] = (1 << WORD) - 1 if every else 0


@kernel
def include(words: Ints, i: int) -> None:
    """Let ``i`` be a member."""
    words[i // WORD] |= 1 << (i % WORD)
