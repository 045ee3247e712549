"""Free capacity over time, as a list of steps."""

from __future__ import annotations

from oracles.jobs import Vector, fits, minus


class Profile:
    """What is free from `origin` on: `free[k]` holds over [times[k], times[k + 1]), the last one for ever."""

    def __init__(self, origin: int, capacity: Vector) -> None:
        self.times = [origin]
        self.free = [capacity]

    def _cut(self, time: int) -> int:
        """Make `time` the beginning of a step; return that step."""
        for k, begin in enumerate(self.times):
            if begin == time:
                return k
            if begin > time:
                self.times.insert(k, time)
                self.free.insert(k, self.free[k - 1])
                return k
        self.times.append(time)
        self.free.append(self.free[-1])
        return len(self.times) - 1

    def take(self, need: Vector, start: int, end: int) -> None:
        """Occupy `need` over [start, end); what lies before the origin is forgotten."""
        start = max(start, self.times[0])
        if start >= end:
            return
        first, after = self._cut(start), self._cut(end)
        for k in range(first, after):
            self.free[k] = minus(self.free[k], need)

    def give(self, need: Vector, start: int, end: int) -> None:
        """Undo a `take`."""
        self.take(minus((0, 0, 0), need), start, end)

    def at(self, time: int) -> Vector:
        """Return what is free at `time`."""
        return [free for begin, free in zip(self.times, self.free, strict=True) if begin <= time][-1]

    def fits(self, need: Vector, start: int, end: int) -> bool:
        """Tell whether `need` is free on all of [start, end)."""
        steps = zip(self.times, [*self.times[1:], end], self.free, strict=True)
        return all(fits(need, free) for begin, until, free in steps if begin < end and until > start)

    def earliest(self, need: Vector, length: int) -> int:
        """Return the earliest time with `need` free for `length`: the origin, or the beginning of a step."""
        start = self.times[0]
        for k, begin in enumerate(self.times):
            if begin >= start + length:
                break
            if not fits(need, self.free[k]):
                if k + 1 == len(self.times):
                    raise ValueError("it never fits")
                start = self.times[k + 1]
        return start
