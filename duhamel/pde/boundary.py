"""What holds at the ends of an axis."""

from dataclasses import dataclass

from duhamel.core.grid import Number


@dataclass(frozen=True)
class Boundary:
    """alpha u + beta du/dn = value at one end, dn pointing outwards. Write `Dirichlet`, `Neumann` or `Robin`."""

    alpha: float
    beta: float
    value: float

    def __post_init__(self) -> None:
        if self.alpha == 0 and self.beta == 0:
            raise ValueError("alpha u + beta du/dn = value says nothing with alpha = beta = 0; give one of them.")

    @property
    def homogeneous(self) -> bool:
        return self.value == 0


def Dirichlet(value: Number = 0.0) -> Boundary:
    """u = value."""
    return Boundary(1.0, 0.0, float(value))


def Neumann(value: Number = 0.0) -> Boundary:
    """du/dn = value, the flux inwards per unit of diffusivity."""
    return Boundary(0.0, 1.0, float(value))


def Robin(alpha: Number, beta: Number, value: Number = 0.0) -> Boundary:
    """alpha u + beta du/dn = value. Of one sign, alpha and beta describe a loss through the wall."""
    return Boundary(float(alpha), float(beta), float(value))
