"""What a denoiser is trained on."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .network import Preconditioned


class EDMLoss(eqx.Module):
    """The denoising loss of Karras et al. 2022 (arXiv 2206.00364, section 5 and table 1)

        E  w(sigma) mean_pixels |D(sigma, x0 + sigma eps, label) - x0|^2
        log sigma ~ N(P_mean, P_std^2),   w = (sigma^2 + s^2) / (sigma s)^2,   s = sigma_data

    With this weight the target of the raw network has variance 1 at every sigma, so an untrained model has loss 1.
    A class is replaced by "no class" with probability `drop`, which is what guidance needs (arXiv 2207.12598).
    Good values at s = 0.5: P_mean = -1.2, P_std = 1.2. P_mean shifts with log(s / 0.5).
    """

    P_mean: float = eqx.field(static=True, default=-1.2)
    P_std: float = eqx.field(static=True, default=1.2)
    drop: float = eqx.field(static=True, default=0.1)
    null: int = eqx.field(static=True, default=10)

    def __call__(
        self,
        model: Preconditioned,
        batch: tuple[Float[Array, "batch size size"], Int[Array, " batch"]],
        key: PRNGKeyArray,
    ) -> Float[Array, ""]:
        x0, labels = batch
        k_sigma, k_eps, k_drop = jax.random.split(key, 3)
        sigma = jnp.exp(self.P_mean + self.P_std * jax.random.normal(k_sigma, labels.shape, x0.dtype))
        eps = jax.random.normal(k_eps, x0.shape, x0.dtype)
        labels = jnp.where(jax.random.bernoulli(k_drop, self.drop, labels.shape), self.null, labels)
        D = jax.vmap(model)(sigma, x0 + sigma[:, None, None] * eps, labels)
        w = (sigma**2 + model.sigma_data**2) / (sigma * model.sigma_data) ** 2
        return jnp.mean(w * jnp.mean((D - x0) ** 2, axis=(1, 2)))
