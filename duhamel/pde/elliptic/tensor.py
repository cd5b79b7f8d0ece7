"""Fast diagonalisation: where S is a sum of products, the eigenvectors of each axis diagonalise it.

    S = T1 x W2 + W1 x T2 + c W1 x W2,    T_d V_d = W_d V_d Lambda_d,    V_d^T W_d V_d = 1
    S^-1 = (V1 x V2) (Lambda1 + Lambda2 + c)^-1 (V1 x V2)^T

Any sides, Robin included, and a that varies along its own axis. One small eigenproblem an axis, then matrix products.
Source: Lynch, Rice and Thomas, Numer. Math. 6 (1964) 185.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from duhamel.core.types import Field

from .solving import Operator, Solver
from .system import System, part


class Diagonalise(Solver):
    """Direct solve in O(n N) for n unknowns and N of them along an axis; a of each axis varies with that axis alone.

    As a preconditioner it takes the means over the other axes.
    """

    def check(self, system: System) -> None:
        self.check_real(system)
        if system.lines is None:
            raise ValueError(
                "Diagonalise() needs one c, and an a that varies along its own axis only (a tuple with one array an "
                "axis); take PCG(Diagonalise()), Multigrid() or Band()."
            )

    def check_real(self, system: System) -> None:
        if jnp.issubdtype(system.dtype, jnp.complexfloating):
            raise ValueError("Diagonalise() needs real coefficients; take Band() for complex Robin sides.")

    def run(self, system: System, b: Field, rtol: Float[Array, ""]) -> tuple[Field, Int[Array, ""]]:
        assert system.lines is not None and system.level is not None
        apply = inverse(system, list(system.lines), system.level)
        return apply(b), jnp.zeros((), jnp.int32)

    def preconditioner(self, system: System) -> Operator:
        self.check_real(system)
        lines, size = [], np.sum(system.weight)
        for d, k in enumerate(system.links):
            other = tuple(i for i in range(k.ndim) if i != d)
            lines.append(jnp.sum(k, axis=other) / (size / np.sum(system.weights[d])))
        return inverse(system, lines, jnp.sum(system.absorb) / size)


def inverse(system: System, lines: list[Array], level: Array) -> Operator:
    """b -> (sum of products of the lines)^-1 b."""
    vectors, values = [], level
    for d, k in enumerate(lines):
        value, vector = eigen(k, system.kinds[d] == "PP", jnp.asarray(system.weights[d], k.dtype))
        vectors.append(vector)
        values = values + value.reshape([-1 if i == d else 1 for i in range(len(lines))])
    if system.singular:  # eigh sorts upwards: the constant is the first mode of every axis
        zero = np.zeros(values.shape, bool)
        zero.flat[0] = True
        inverted = jnp.where(zero, 0, 1 / jnp.where(zero, 1, values))
    else:
        inverted = 1 / values

    def apply(b: Field) -> Field:
        for d, v in enumerate(vectors):
            b = jnp.moveaxis(jnp.tensordot(v, b, (0, d)), 0, d)
        b = b * inverted
        for d, v in enumerate(vectors):
            b = jnp.moveaxis(jnp.tensordot(v, b, (1, d)), 0, d)
        return b

    return apply


def eigen(k: Array, periodic: bool, w: Array) -> tuple[Array, Array]:
    """Lambda and V of one axis with links k (n + 1,)."""
    n = k.shape[0] - 1
    inner = part(k, 0, 1, -1)
    t = jnp.diag(k[:-1] + k[1:]) - jnp.diag(inner, 1) - jnp.diag(inner, -1)
    if periodic:
        t = t.at[0, n - 1].add(-k[0]).at[n - 1, 0].add(-k[0])
    root = 1 / jnp.sqrt(w)
    value, vector = jnp.linalg.eigh(root[:, None] * t * root)
    return value, root[:, None] * vector
