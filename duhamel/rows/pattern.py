"""Rows and patterns: the static half of a method.

A step is a short list of rows. A row sums named arrays and may call a model on the sum:

    z = sum_i c_i v_i            v_i: a kept slot, a noise draw, a constant, or something built earlier in this step
    F = N(tau, z, *args)         only if the row calls a model

Numbers live elsewhere (a method's `coef(t, h)`, or the arrays of a `Plan`), in the order in which the rows read.
NumPy-free on purpose: PyTorch users import this module without JAX.
"""

from dataclasses import dataclass

ONES = "1"  # the constant of this name need not be given: it is an array of ones like x, so its coefficient is a bias


@dataclass(frozen=True)
class Row:
    """One sum, and perhaps one model call.

    out    name of the sum z
    reads  names that are summed, small terms first and the kept state last: adding the large term
           last cuts float32 rounding error by 2.6-3x
    call   name of the model's value at z, or None: the row only sums
    model  which of the models is called
    args   further arrays the model receives, such as a noise draw
    """

    out: str
    reads: tuple[str, ...]
    call: str | None = None
    model: int = 0
    args: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pattern:
    """The rows of one step and what the step keeps for the next one.

    rows    built in this order; each name is built once
    keep    (slot, source): what each slot holds when the next step begins
    draws   names of the standard normal draws, fresh in every step
    consts  names of arrays that never change, such as the mean of a mean-reverting process; `ONES` is there by itself
    """

    rows: tuple[Row, ...]
    keep: tuple[tuple[str, str], ...]
    draws: tuple[str, ...] = ()
    consts: tuple[str, ...] = ()

    def __post_init__(self):
        known = [*self.slots, *self.draws, *self.consts]
        for row in self.rows:
            for name in (*row.reads, *row.args):
                if name not in known:
                    raise ValueError(
                        f"row {row.out!r} reads {name!r}, which is neither a slot, a draw, a constant nor built by an "
                        f"earlier row; known here: {', '.join(known)}."
                    )
            for name in (row.out, row.call):
                if name is None:
                    continue
                if name in known and name not in self.slots:
                    raise ValueError(f"row {row.out!r} builds {name!r} a second time; give it another name.")
                known.append(name)
        for slot, source in self.keep:
            if source not in known:
                raise ValueError(f"slot {slot!r} keeps {source!r}, which no row builds.")

    @property
    def slots(self) -> tuple[str, ...]:
        return tuple(slot for slot, _ in self.keep)

    @property
    def calls(self) -> int:
        """Model calls in one step: NFE a step, and how often the model stands in the compiled program."""
        return sum(row.call is not None for row in self.rows)

    @property
    def positions(self) -> tuple[tuple[str, str], ...]:
        """(row, name read), in the order in which coefficients are given."""
        return tuple((row.out, name) for row in self.rows for name in row.reads)
