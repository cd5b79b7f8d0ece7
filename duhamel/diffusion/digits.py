"""A denoiser of handwritten digits: the data, the training run, and the weights that ship with the package.

The data are the 1797 images of scikit-learn's `load_digits` (UCI hand-written digits, 8 x 8 pixels, 0..16), scaled to

    x = pixel / 8 - 1   in [-1, 1],   standard deviation 0.75

Every sixth image (299 of them) is held out: the network never sees it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import ArrayLike, Int

from duhamel.core.extras import missing, need
from duhamel.core.seed import LIMIT, check_seed
from duhamel.train.data import Batches
from duhamel.train.ema import EMA
from duhamel.train.fit import Fit, fit
from duhamel.train.weights import read, write

from .exact import GaussianMixture, mixture
from .loss import EDMLoss
from .network import Conditioned, PatchTransformer, Preconditioned
from .schedule import Schedule

CLASSES = 10  # label 10 asks for any digit
SIGMA_DATA = 0.75
SIGMA_RANGE = (0.01, 30.0)  # the noise levels that training covers, and a sampler should stay in
WEIGHTS = Path(__file__).parent / "weights" / "digits.safetensors"
STEPS = 5000  # 25 minutes on two busy cores


def data() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """((images, labels) to train on, (images, labels) held out); images float32 (n, 8, 8) in [-1, 1], labels int32."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise missing("the set of digits", "scikit-learn, which ships it", "data") from None
    pixels, target = load_digits(return_X_y=True)
    images, labels = (np.reshape(pixels, (-1, 8, 8)) / 8 - 1).astype(np.float32), np.asarray(target, np.int32)
    held = np.arange(len(labels)) % 6 == 5
    return (images[~held], labels[~held]), (images[held], labels[held])


def untrained(key: Any) -> Preconditioned:
    return Preconditioned(PatchTransformer(8, 2, classes=CLASSES, key=key), SIGMA_DATA)


def load(path: Path | str = WEIGHTS) -> Preconditioned:
    """The trained denoiser, float32. `conditioned(load(), labels, schedule)` is what a plan runs on."""
    like = eqx.filter_eval_shape(untrained, jax.ShapeDtypeStruct((), jax.random.key(0).dtype))
    return read(path, like, jnp.float32)


def conditioned(
    model: Preconditioned, labels: Int[ArrayLike, " batch"] | int, schedule: Any, batch: int = 1
) -> Conditioned:
    """The denoiser D(t, x) for a batch whose classes are `labels` (one number: the whole batch)."""
    labels = jnp.asarray(labels, jnp.int32)
    labels = jnp.full(batch, labels) if labels.ndim == 0 else labels
    if labels.size and (int(labels.min()) < 0 or int(labels.max()) > CLASSES):
        raise ValueError(f"labels must lie in 0..{CLASSES} ({CLASSES}: any digit), got {labels.min()}..{labels.max()}.")
    return Conditioned(model, labels, schedule)


def class_gaussians(schedule: Schedule) -> GaussianMixture:
    """Ten Gaussians in 64 dimensions, one for each digit: its share, mean and full covariance among the training images

    The variance (1/8)^2 / 12 of rounding to sixteenths of the grey scale is added, for some pixels never vary. An exact
    model, score and density of data like the digits: what samplers are measured on when the network's own error must
    not count. Points are (..., 64).
    """
    (images, labels), _ = data()
    flat = np.asarray(images, np.float64).reshape(-1, 64)
    classes = [flat[labels == k] for k in range(CLASSES)]
    rounding = (1 / 8) ** 2 / 12 * np.eye(64)
    covariances = np.stack([np.cov(pixels.T) + rounding for pixels in classes])
    return mixture(schedule, [len(pixels) for pixels in classes], [pixels.mean(0) for pixels in classes], covariances)


def loss(drop: float = 0.1) -> EDMLoss:
    """Centred where the digits are decided: sigma from 0.02 to 13 lies within two standard deviations."""
    return EDMLoss(P_mean=-0.6, P_std=1.6, drop=drop, null=CLASSES)


def train(
    folder: Path | str,
    steps: int = STEPS,
    *,
    seed: int = 0,
    batch: int = 256,
    rate: float = 1.5e-3,
    progress: bool | Callable[[int, int], None] = True,
) -> Fit:
    """Train the denoiser and write folder/digits.safetensors; a killed run continues where its last checkpoint is.

    AdamW, warm-up over 200 steps, cosine decay from `rate`, the average's half-life 7 % of the run's length at most.
    metrics.jsonl holds the loss of the average at "held_out" and, for comparison, as many "seen" images.
    """
    check_seed(seed)
    (images, labels), (held_images, held_labels) = data()
    cosine = optax.warmup_cosine_decay_schedule(0.0, rate, min(200, max(steps - 1, 1)), max(steps, 2), 0.01 * rate)
    n = len(held_labels)
    evaluate = eqx.filter_jit(lambda model, batch: loss(drop=0.0)(model, batch, jax.random.key((seed + 1) % LIMIT)))
    eight = lambda x, y: (jnp.tile(x, (8, 1, 1)), jnp.tile(y, 8))  # noqa: E731  eight noises an image
    done = fit(
        loss(),
        untrained(jax.random.key(seed)),
        Batches((images, labels), batch),
        optimiser=optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(cosine, b2=0.99, weight_decay=0.01)),
        steps=steps,
        key=jax.random.key(seed),
        ema=EMA(min(0.998, 0.5 ** (1 / (0.07 * max(steps, 1))))),
        scan=25,
        folder=folder,
        checkpoint_every=250,
        validate=lambda model: {
            "held_out": float(evaluate(model, eight(held_images, held_labels))),
            "seen": float(evaluate(model, eight(images[:n], labels[:n]))),
        },
        title="digits",
        progress=progress,
    )
    command = f"duhamel train digits --steps {steps} --seed {seed}"
    numbers = {k: f"{done.metrics[-1][k]:.4f}" for k in ("held_out", "seen")}
    write(
        Path(folder) / "digits.safetensors",
        done.average,
        command=command,
        data="sklearn.datasets.load_digits",
        **numbers,
    )
    return done


def quality(images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """How good class-conditional samples are; images (n, 8, 8), labels (n,), and the numbers that real images reach.

    accuracy   share whose class a support vector classifier, trained on the training images, names correctly
    energy     energy distance to the held-out images, 2 E|a-b| - E|a-a'| - E|b-b'|, unbiased: about 0 for equal laws
    nearest    median distance to the nearest training image: copies would be near 0
    *_real     the same of held-out images (accuracy, nearest) or of the training images (energy)
    energy_gaussian  of a Gaussian with the training images' mean and covariance, clipped: what "bad" looks like
    """
    need("judging digits", ["sklearn"], "data")
    from scipy.spatial.distance import cdist
    from sklearn.svm import SVC

    (train_images, train_labels), (held_images, held_labels) = data()
    T, H, X = (a.reshape(len(a), -1) for a in (train_images, held_images, np.clip(np.asarray(images), -1, 1)))
    judge: Any = SVC(gamma=0.02, C=10.0)  # type: ignore[arg-type]
    judge.fit(T, train_labels)
    within = lambda a: cdist(a, a).sum() / (len(a) * (len(a) - 1))  # noqa: E731
    energy = lambda a: float(2 * cdist(a, H).mean() - within(a) - within(H))  # noqa: E731
    gaussian = np.random.default_rng(0).multivariate_normal(T.mean(0), np.cov(T.T), 1000).clip(-1, 1)
    return {
        "accuracy": float(judge.score(X, np.asarray(labels))),
        "accuracy_real": float(judge.score(H, held_labels)),
        "energy": energy(X),
        "energy_real": energy(T),
        "energy_gaussian": energy(gaussian),
        "nearest": float(np.median(cdist(X, T).min(1))),
        "nearest_real": float(np.median(cdist(H, T).min(1))),
    }
