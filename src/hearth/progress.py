"""Show how far a long piece of work is: a bar in a terminal, lines elsewhere, always on standard error."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Step = Callable[[str, int], None]


@contextmanager
def progress(total: int, done: int = 0, unit: str = "it", lines: int | None = None) -> Iterator[Step]:
    """Give a function that takes what to say and how much more is done.

    Elsewhere than in a terminal it prints at most so many `lines`, evenly spread; without a number, one for each step.
    """
    if sys.stderr.isatty():
        yield from _bar(total, done, unit)
    else:
        yield _printer(total, done, lines)


def _bar(total: int, done: int, unit: str) -> Iterator[Step]:
    from tqdm import tqdm

    with tqdm(total=total, initial=done, unit=unit, unit_scale=unit == "B", file=sys.stderr, dynamic_ncols=True) as bar:

        def step(said: str, more: int) -> None:
            bar.set_postfix_str(said, refresh=False)
            bar.update(more)

        yield step


def _printer(total: int, done: int, lines: int | None) -> Step:
    now = done

    def step(said: str, more: int) -> None:
        nonlocal now
        before, now = now, now + more
        if lines is None or now * lines // total > before * lines // total:
            print(said, file=sys.stderr, flush=True)

    return step
