"""Finite elements on triangles, assembled by scikit-fem: Poisson's equation and linear elasticity, P1 or P2.

    the extra `fem`: pip install -e ".[fem]" in a clone

Meshes are scikit-fem's: `square(n)`, or any `skfem.MeshTri` (`MeshTri.load` reads what meshio reads). Solved directly
by SciPy; float64 on the host.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from duhamel.core.extras import missing


@dataclass(frozen=True)
class Elements:
    """A solution on a mesh.

    basis  of scikit-fem: `basis.interpolate(x)` gives it at the quadrature points, `basis.plot` draws it
    x      degrees of freedom; those at the corners of the mesh are `x[basis.nodal_dofs]`
    """

    basis: Any
    x: np.ndarray

    @property
    def corners(self) -> np.ndarray:
        """Values at the corners, (corners,) or (2, corners)."""
        rows = self.x[self.basis.nodal_dofs]
        return rows[0] if len(rows) == 1 else rows

    def error(self, exact: Callable) -> float:
        """L2 norm of the solution minus exact(x, y)."""
        points = np.asarray(self.basis.global_coordinates())
        difference = np.asarray(self.basis.interpolate(self.x)) - np.asarray(exact(*points))
        squared = difference**2 if difference.ndim == 2 else np.sum(difference**2, axis=0)
        return float(np.sqrt(np.sum(squared * self.basis.dx)))


def square(n: int) -> Any:
    """The unit square in 2 n^2 triangles, with boundaries named left, right, bottom and top."""
    skfem = _skfem()
    if n < 1:
        raise ValueError(f"n = {n}: a square has at least one cell along a side.")
    line = np.linspace(0, 1, n + 1)
    sides = {"left": (0, 0.0), "right": (0, 1.0), "bottom": (1, 0.0), "top": (1, 1.0)}
    named = {name: lambda x, d=d, at=at: np.isclose(x[d], at) for name, (d, at) in sides.items()}
    return skfem.MeshTri.init_tensor(line, line).with_boundaries(named)


def poisson(
    mesh: Any,
    f: Callable,
    u: Callable,
    *,
    a: Callable | None = None,
    flux: dict[str, Callable] | None = None,
    degree: int = 1,
) -> Elements:
    """-div(a grad u) = f with u given on the boundary, but for parts whose flux a du/dn is given.

    f, u, a  functions of (x, y); a = 1 unless told
    flux     {name of a part of the boundary: function of (x, y)}
    degree   1: L2 error h^2, 2: h^3
    """
    skfem = _skfem()
    basis = skfem.Basis(mesh, {1: skfem.ElementTriP1(), 2: skfem.ElementTriP2()}[_degree(degree)])
    grad, dot = skfem.helpers.grad, skfem.helpers.dot
    weight = a or (lambda x, y: 1.0 + 0 * x)
    stiffness = skfem.BilinearForm(lambda u, v, w: weight(*w.x) * dot(grad(u), grad(v))).assemble(basis)
    load = skfem.LinearForm(lambda v, w: np.asarray(f(*w.x)) * v).assemble(basis)
    for name, g in (flux or {}).items():
        load += skfem.LinearForm(lambda v, w, g=g: np.asarray(g(*w.x)) * v).assemble(_part(basis, mesh, name))
    return _solve(basis, mesh, stiffness, load, u, flux or {})


def elasticity(
    mesh: Any,
    force: Callable,
    u: Callable,
    *,
    lam: float = 1.0,
    mu: float = 1.0,
    traction: dict[str, Callable] | None = None,
    degree: int = 2,
) -> Elements:
    """-div sigma = force, sigma = lam tr(eps) 1 + 2 mu eps, eps = (grad u + grad u^T)/2: small strains of the plane.

    force     function of (x, y) -> (2, ...)
    u         displacement on the boundary, but for parts whose traction sigma n is given
    lam, mu   Lame's numbers: lam = E nu/((1 + nu)(1 - 2 nu)), mu = E/(2 (1 + nu)) for plane strain. For nearly
              incompressible material (lam >> mu) P1 locks; take degree 2
    """
    skfem = _skfem()
    if not (mu > 0 and lam + mu > 0):
        raise ValueError(f"lam = {lam}, mu = {mu}: an elastic plane needs mu > 0 and lam + mu > 0.")
    element = {1: skfem.ElementTriP1(), 2: skfem.ElementTriP2()}[_degree(degree)]
    basis = skfem.Basis(mesh, skfem.ElementVector(element))
    sym, ddot, trace, dot = skfem.helpers.sym_grad, skfem.helpers.ddot, skfem.helpers.trace, skfem.helpers.dot

    def energy(u: Any, v: Any, w: Any) -> Any:
        e, d = sym(u), sym(v)
        return lam * trace(e) * trace(d) + 2 * mu * ddot(e, d)

    stiffness = skfem.BilinearForm(energy).assemble(basis)
    load = skfem.LinearForm(lambda v, w: dot(np.asarray(force(*w.x)), v)).assemble(basis)
    for name, g in (traction or {}).items():
        load += skfem.LinearForm(lambda v, w, g=g: dot(np.asarray(g(*w.x)), v)).assemble(_part(basis, mesh, name))
    return _solve(basis, mesh, stiffness, load, u, traction or {})


def _solve(basis: Any, mesh: Any, stiffness: Any, load: np.ndarray, u: Callable, free: dict[str, Callable]) -> Elements:
    skfem = _skfem()
    outside = mesh.boundary_facets()
    for name in free:
        outside = np.setdiff1d(outside, mesh.boundaries[name])
    if outside.size == 0:
        raise ValueError(
            "u is given nowhere on the boundary, so that it is not determined; leave one part without flux."
        )
    held = basis.get_dofs(facets=outside)
    exact = np.asarray(u(*basis.doflocs))  # every degree of freedom of P1 and P2 is a value at a point
    values = exact if exact.ndim == 1 else np.choose(_component(basis), list(exact))
    if not (np.all(np.isfinite(load)) and np.all(np.isfinite(values))):
        raise ValueError("f, u or a flux is NaN or infinite at a point of the mesh; it must be finite.")
    return Elements(basis, skfem.solve(*skfem.condense(stiffness, load, x=values, D=held)))


def _component(basis: Any) -> np.ndarray:
    """Which component each degree of freedom of a vector element stands for."""
    which = np.zeros(basis.N, int)
    for rows in (basis.nodal_dofs, basis.facet_dofs):
        for i, row in enumerate(rows):
            which[row] = i % 2
    return which


def _part(basis: Any, mesh: Any, name: str) -> Any:
    if name not in (mesh.boundaries or {}):
        raise ValueError(
            f"the mesh has no boundary called {name!r}; it has {', '.join(mesh.boundaries or {}) or 'none'}."
        )
    return basis.boundary(name)


def _degree(degree: int) -> int:
    if degree not in (1, 2):
        raise ValueError(f"degree = {degree}; there are elements of degree 1 and 2.")
    return degree


def _skfem() -> Any:
    try:
        import skfem
        import skfem.helpers
    except ImportError as error:
        raise missing("the method of finite elements", "scikit-fem", "fem") from error
    return skfem
