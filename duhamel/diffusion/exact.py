"""Data of which everything is known: Gaussians and Gaussian mixtures, noised by a schedule.

x_t = alpha x_0 + sigma eps of a Gaussian mixture is again a mixture, with means alpha mu_k and covariances
alpha^2 C_k + sigma^2 I, so the denoiser, the score, the density and samples are exact at every time. The
probability-flow ODE is known for one Gaussian in any dimension (`gaussian_flow`), and for a mixture in one dimension,
where it is the quantile map (`Mixture1D.quantile_map`).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from .schedule import Schedule

Points = Array | np.ndarray
Time = ArrayLike  # one number, or one for each point


class GaussianMixture(eqx.Module):
    """x_0 ~ sum_k w_k N(mu_k, C_k) in d dimensions, C_k = A_k diag(v_k) A_k^T. Build it with `mixture` or `gaussian`.

    Points have shape (..., d); t is one number, or has the shape (...).
    """

    schedule: Schedule = eqx.field(static=True)
    log_weights: Float[ArrayLike, " k"]
    means: Float[ArrayLike, "k d"]
    variances: Float[ArrayLike, "k d"]
    axes: Float[ArrayLike, "k d d"] | None  # columns are the principal axes; None: the coordinate axes

    def denoiser(self, t: Time, x: Float[Points, "*n d"]) -> Float[Array, "*n d"]:
        """E[x_0 | x_t = x] = sum_k p(k | x) (mu_k + alpha C_k (alpha^2 C_k + sigma^2)^-1 (x - alpha mu_k))."""
        alpha, variances, residual = self._residual(t, x)
        posterior = jax.nn.softmax(self._log_joint(variances, residual), axis=-1)
        shift = self._out(alpha * self._as(self.variances, x) / variances * residual)
        return jnp.sum(posterior[..., None] * (self._as(self.means, x) + shift), axis=-2)

    def score(self, t: Time, x: Float[Points, "*n d"]) -> Float[Array, "*n d"]:
        """grad log p_t(x)."""
        _, variances, residual = self._residual(t, x)
        posterior = jax.nn.softmax(self._log_joint(variances, residual), axis=-1)
        return -jnp.sum(posterior[..., None] * self._out(residual / variances), axis=-2)

    def log_density(self, t: Time, x: Float[Points, "*n d"]) -> Float[Array, "*n"]:
        """log p_t(x) in nats."""
        _, variances, residual = self._residual(t, x)
        return logsumexp(self._log_joint(variances, residual), axis=-1)

    def posterior(self, t: Time, x: Float[Points, "*n d"]) -> Float[Array, "*n k"]:
        """p(k | x_t = x): which component a point belongs to."""
        _, variances, residual = self._residual(t, x)
        return jax.nn.softmax(self._log_joint(variances, residual), axis=-1)

    def sample(self, key: PRNGKeyArray, n: int, t: float | None = None) -> Float[Array, "n d"]:
        """n exact samples of x_t, or of the data when t is None."""
        which, normal = jax.random.split(key)
        means, variances = jnp.asarray(self.means), jnp.asarray(self.variances)
        k = jax.random.categorical(which, jnp.asarray(self.log_weights), shape=(n,))
        alpha, sigma = (1.0, 0.0) if t is None else (self.schedule.alpha(t), self.schedule.sigma(t))
        scales = jnp.sqrt(alpha**2 * variances + sigma**2)[k]
        z = scales * jax.random.normal(normal, (n, means.shape[1]), means.dtype)
        if self.axes is not None:
            z = jnp.einsum("nij,nj->ni", jnp.asarray(self.axes)[k], z)
        return alpha * means[k] + z

    def components(self, *ks: int) -> "GaussianMixture":
        """The mixture of some of the components: the data of a class."""
        index = np.asarray(ks)
        log_weights = np.asarray(self.log_weights)[index]
        axes = None if self.axes is None else np.asarray(self.axes)[index]
        log_weights = log_weights - np.log(np.sum(np.exp(log_weights)))
        return GaussianMixture(
            self.schedule, log_weights, np.asarray(self.means)[index], np.asarray(self.variances)[index], axes
        )

    def mean(self) -> Float[Array, " d"]:
        """Mean of the data."""
        return jnp.exp(jnp.asarray(self.log_weights)) @ jnp.asarray(self.means)

    def covariance(self) -> Float[Array, "d d"]:
        """Covariance of the data."""
        w, means, v = (jnp.asarray(a) for a in (jnp.exp(jnp.asarray(self.log_weights)), self.means, self.variances))
        axes = jnp.asarray(
            np.broadcast_to(np.eye(v.shape[1]), (*v.shape, v.shape[1])) if self.axes is None else self.axes
        )
        second = jnp.einsum("k,kij,kj,klj->il", w, axes, v, axes) + jnp.einsum("k,ki,kj->ij", w, means, means)
        return second - jnp.outer(w @ means, w @ means)

    def _residual(self, t: Time, x: Points) -> tuple[Array, Array, Array]:
        """alpha, the variances of x_t, and x - alpha mu_k along the principal axes: (..., k, d)."""
        t = jnp.asarray(t, x.dtype)[..., None, None]
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        residual = x[..., None, :] - alpha * self._as(self.means, x)
        if self.axes is not None:
            residual = jnp.einsum("kij,...ki->...kj", self._as(self.axes, x), residual)
        return alpha, alpha**2 * self._as(self.variances, x) + sigma**2, residual

    def _log_joint(self, variances: Array, residual: Array) -> Array:
        """log w_k + log N(x; alpha mu_k, alpha^2 C_k + sigma^2)."""
        quadratic = residual**2 / variances + jnp.log(2 * jnp.pi * variances)
        return self._as(self.log_weights, residual) - 0.5 * jnp.sum(quadratic, axis=-1)

    def _out(self, v: Array) -> Array:
        """From the principal axes back to the coordinates."""
        return v if self.axes is None else jnp.einsum("kij,...kj->...ki", self._as(self.axes, v), v)

    @staticmethod
    def _as(parameter: ArrayLike, x: Points) -> Array:
        """Float32 in, float32 out."""
        return jnp.asarray(parameter, x.dtype)


def mixture(schedule: Schedule, weights: object, means: object, covariances: object) -> GaussianMixture:
    """A Gaussian mixture of k components in d dimensions.

    weights  (k,), positive, normalised here      means  (k, d)
    covariances  one variance, (k,) isotropic, (k, d) diagonal or (k, d, d) full
    """
    w, mu, C = (np.asarray(a, np.float64) for a in (weights, means, covariances))
    if mu.ndim != 2 or w.shape != mu.shape[:1] or not np.all(w > 0):
        raise ValueError(f"mixture needs positive weights (k,) and means (k, d), got shapes {w.shape} and {mu.shape}.")
    k, d = mu.shape
    if C.shape not in ((), (k,), (k, d), (k, d, d)):
        raise ValueError(f"covariances have shape {C.shape}; give (), ({k},), ({k}, {d}) or ({k}, {d}, {d}).")
    axes = None
    if C.ndim == 3:
        if not np.allclose(C, np.swapaxes(C, 1, 2)):
            raise ValueError("covariances must be symmetric matrices.")
        C, axes = np.linalg.eigh(C)
    elif C.ndim == 1:
        C = C[:, None]
    if not np.all(C >= 0):
        raise ValueError("covariances must have no negative variance.")
    return GaussianMixture(schedule, np.log(w / w.sum()), mu, np.array(np.broadcast_to(C, (k, d))), axes)


def gaussian(schedule: Schedule, mean: object, covariance: object) -> GaussianMixture:
    """N(mean, covariance): mean (d,); one variance, (d,) diagonal or (d, d) full."""
    C = np.asarray(covariance, np.float64)
    return mixture(schedule, [1.0], np.asarray(mean, np.float64)[None], C[None] if C.ndim else C)


def gaussian_flow(data: GaussianMixture, x: Float[ArrayLike, "*n d"], t_from: float, t_to: float) -> np.ndarray:
    """The probability-flow ODE of one Gaussian from t_from to t_to, in closed form, float64

    x -> alpha' mu + A diag(sqrt((alpha'^2 v + sigma'^2) / (alpha^2 v + sigma^2))) A^T (x - alpha mu)
    """
    count = np.shape(data.means)[0]
    if count != 1:
        raise ValueError(f"gaussian_flow takes one Gaussian, this mixture has {count}; see Mixture1D.")
    mean, v = np.asarray(data.means)[0], np.asarray(data.variances)[0]
    axes = np.eye(len(mean)) if data.axes is None else np.asarray(data.axes)[0]
    (a, s), (a1, s1) = ((data.schedule.alpha(t), data.schedule.sigma(t)) for t in (t_from, t_to))
    gain = np.sqrt((a1**2 * v + s1**2) / (a**2 * v + s**2))
    return a1 * mean + (np.asarray(x, np.float64) - a * mean) @ (axes * gain) @ axes.T
