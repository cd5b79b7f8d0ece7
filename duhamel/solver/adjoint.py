"""How a solve is differentiated: the names a user writes. `tape` holds the mechanism."""

import equinox as eqx


class Tape(eqx.Module):
    """Reverse mode over the accepted steps only; the default.

    The forward pass writes (t, h) of every accepted step and x of as many as `memory` bytes hold. The reverse pass
    walks the steps backwards with their sizes frozen, taking each step's own vector-Jacobian product: the exact
    gradient of the numbers computed, without work for rejected steps. If not every state fits, each segment is stepped
    again from the state at its beginning (twice the forward work, memory O(sqrt(steps)) at the least).

    memory  bytes for saved states, 64 MiB unless told
    Weights shared by the lanes of an ensemble get one cotangent, not one a lane.
    Derivatives with respect to t0, t1 and the save times are those of the exact solution, f(t, x).
    """

    memory: int = eqx.field(static=True, default=64 * 2**20)

    def __check_init__(self) -> None:
        if self.memory < 1:
            raise ValueError(f"Tape(memory) is a number of bytes of at least 1, got {self.memory}.")


class Forward(eqx.Module):
    """Forward mode (`jax.jvp`, `jax.jacfwd`) straight through the loop; step sizes are frozen there too.

    For few parameters and many outputs. Reverse mode through it is refused by JAX: use `Tape()`.
    """
