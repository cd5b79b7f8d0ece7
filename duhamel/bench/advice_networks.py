"""Networks for the table of advice: small ones, trained by other people's recipes on data that ship in wheels.

Each follows what many tutorials and papers do, in PyTorch, and nothing of our own trainer, preconditioning or layers: a
rule for choosing a sampler should hold on networks like those that users bring. Beside them stand the digits network
that ships and exact models of mixtures.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from duhamel.diffusion import digits
from duhamel.diffusion.discrete_vp import DiscreteVP
from duhamel.diffusion.exact import mixture
from duhamel.diffusion.schedule import EDM, VP, Cosine, Flow, Prediction, Schedule

from .measure import peer

Call = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Subject:
    """A model to be sampled.

    kind     as in `diffusion.advice.KINDS`: what a rule may know
    predicts what `call(t, x, which)` returns, for times t (batch,), x (batch, *shape), and which sample each of them is
    about    data and recipe, one line
    ours     whether it was trained by this package
    """

    name: str
    kind: str
    schedule: Schedule
    predicts: Prediction
    shape: tuple[int, ...]
    call: Call = field(repr=False)
    about: str
    ours: bool = False


def subjects(names: Any = None, *, folder: Path | None = None, say: Callable[[str], None] = print) -> list[Subject]:
    """All of them, or those named; trained where `folder` does not keep their weights yet."""
    made = []
    for name, make in MAKERS.items():
        if names is None or name in names:
            say(name)
            made.append(make(name, folder))
    return made


# ---- data: float32 (n, channels, side, side) or (n, d)


def digit_images() -> tuple[np.ndarray, np.ndarray]:
    (images, labels), _ = digits.data()
    return images[:, None], labels


def photo_patches(side: int = 8, count: int = 20_000) -> np.ndarray:
    """Grey patches of scikit-learn's two photographs, standard deviation 0.5."""
    from sklearn.datasets import load_sample_images

    rng, parts = np.random.default_rng(0), []
    for image in load_sample_images().images:
        grey = np.asarray(image, np.float32).mean(2)[::2, ::2]
        i, j = rng.integers(0, grey.shape[0] - side, count // 2), rng.integers(0, grey.shape[1] - side, count // 2)
        parts.append(np.stack([grey[a : a + side, b : b + side] for a, b in zip(i, j, strict=True)]))
    patches = np.concatenate(parts).reshape(count, -1)
    return ((patches - patches.mean()) / (2 * patches.std())).astype(np.float32)


def spots(side: int = 16, count: int = 4000) -> np.ndarray:
    """Pieces of Gray-Scott's second species while its spots divide, standard deviation 0.5."""
    import duhamel.pde as pde

    n, equation = 96, pde.GrayScott()
    grid = pde.periodic((n, n), (1.0, 1.0))
    done = pde.solve(equation, grid, equation.initial(grid), np.linspace(0.0, 1500.0, 16), steps=750)
    v = np.asarray(done.x)[6:, 1]
    rng, pieces = np.random.default_rng(0), []
    for _ in range(count):
        k, i, j = rng.integers(0, len(v)), *rng.integers(0, n, 2)
        pieces.append(np.roll(v[k], (-i, -j), (0, 1))[:side, :side])
    u = np.stack(pieces)[:, None]
    return (0.5 * (u - u.mean()) / u.std()).astype(np.float32)


def board(count: int = 20_000) -> np.ndarray:
    """A checkerboard of 4 x 4 in the plane, in [-2, 2]."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (4 * count, 2))
    return x[(np.floor(x).sum(1) % 2) == 0][:count].astype(np.float32)


# ---- networks


def modules() -> dict[str, Any]:
    """Their classes, where PyTorch is there."""
    from . import advice_torch

    return dict(vars(advice_torch))


def trained(
    name: str,
    folder: Path | None,
    network: Any,
    data: np.ndarray,
    loss: Callable[[Any, Any, Any], Any],
    *,
    steps: int,
    batch: int = 128,
    rate: float = 1e-3,
    average: float = 0.995,
    labels: np.ndarray | None = None,
    decay: bool = True,
) -> Any:
    """Adam (AdamW where weights decay) on loss(network, x, labels), and the running average of its weights."""
    torch = peer("torch")
    path = None if folder is None else Path(folder) / f"{name}.pt"
    if path is not None and path.exists():
        network.load_state_dict(torch.load(path))
        return network.eval()
    x = torch.from_numpy(data)
    y = None if labels is None else torch.from_numpy(labels.astype(np.int64))
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    plan = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps) if decay else None
    kept = {k: v.clone() for k, v in network.state_dict().items()}
    for _ in range(steps):
        which = torch.randint(0, len(x), (batch,))
        value = loss(network, x[which], None if y is None else y[which])
        optimiser.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        if plan is not None:
            plan.step()
        with torch.no_grad():
            for k, v in network.state_dict().items():
                kept[k].lerp_(v, 1 - average) if v.dtype.is_floating_point else kept[k].copy_(v)
    network.load_state_dict(kept)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), path)
    return network.eval()


def called(network: Any, told: Callable[[np.ndarray], np.ndarray], labels: np.ndarray | None = None) -> Call:
    """A subject's call; `told` makes of the schedule's times what the network is told."""
    torch = peer("torch")

    def call(t: np.ndarray, x: np.ndarray, which: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            y, times = (torch.from_numpy(np.asarray(a, np.float32)) for a in (x, told(t)))
            more = () if labels is None else (torch.from_numpy(labels[which].astype(np.int64)),)
            return network(y, times, *more).numpy().astype(np.float64)

    return call


def compiled(denoiser: Callable, dtype: Any = np.float32, batch: int = 256) -> Call:
    """A subject's call of a JAX function of (t, x, which), compiled once: batches are padded to one size."""
    run = eqx.filter_jit(denoiser)

    def call(t: np.ndarray, x: np.ndarray, which: np.ndarray) -> np.ndarray:
        out, n = [], len(x)
        take = np.minimum(np.arange(-(-n // batch) * batch), n - 1).reshape(-1, batch)
        with jax.enable_x64(dtype is np.float64):
            for rows in take:
                out.append(np.asarray(run(*(jnp.asarray(a[rows], dtype) for a in (t, x)), jnp.asarray(which[rows]))))
        return np.concatenate(out)[:n].astype(np.float64)

    return call


def _seed() -> Any:
    torch = peer("torch")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return torch


# ---- recipes


def ddpm_unet(name: str, folder: Path | None) -> Subject:
    """DDPM (arXiv 2006.11239): a U-Net that predicts the noise on a chain of 1000 linear betas."""
    torch = _seed()
    betas = np.linspace(1e-4, 0.02, 1000)
    schedule, (images, _) = DiscreteVP.from_betas(betas), digit_images()
    products = torch.from_numpy(np.cumprod(1 - betas)).float()

    def loss(network: Any, x: Any, _: Any) -> Any:
        t = torch.randint(0, 1000, (len(x),))
        a, eps = products[t].view(-1, 1, 1, 1), torch.randn_like(x)
        return ((network(a.sqrt() * x + (1 - a).sqrt() * eps, t.float()) - eps) ** 2).mean()

    network = trained(name, folder, modules()["UNet"](), images, loss, steps=1600, batch=64)
    about = "digits 8x8, U-Net, noise prediction, DDPM's chain of 1000 linear betas"
    return Subject(name, "noise", schedule, "noise", (1, 8, 8), called(network, lambda t: t), about)


def script_400(name: str, folder: Path | None) -> Subject:
    """A chain of 400 betas, images in [0, 1], t / T as a number, batch norms: a script that many began with."""
    torch = _seed()
    T, (images, labels) = 400, digit_images()
    betas = np.linspace(1e-4, 0.02, T + 1)[1:]
    schedule = DiscreteVP.from_betas(betas)
    products = torch.from_numpy(np.cumprod(1 - betas)).float()

    def loss(network: Any, x: Any, label: Any) -> Any:
        t = torch.randint(0, T, (len(x),))
        a, eps = products[t].view(-1, 1, 1, 1), torch.randn_like(x)
        return ((network(a.sqrt() * x + (1 - a).sqrt() * eps, (t + 1.0) / T, label) - eps) ** 2).mean()

    network = trained(
        name, folder, modules()["Plain"](), (images + 1) / 2, loss, steps=1600, batch=64, average=0.0, labels=labels
    )
    about = "digits 8x8 in [0, 1] by class, convolutions with batch norm, noise prediction, chain of 400 betas"
    call = called(network, lambda t: (t + 1) / T, np.arange(4096) % 10)
    return Subject(name, "noise", schedule, "noise", (1, 8, 8), call, about)


def score_vp(name: str, folder: Path | None) -> Subject:
    """Song's VP SDE (arXiv 2011.13456) in continuous time, a perceptron that predicts the noise."""
    torch = _seed()
    schedule, (images, _) = VP(), digit_images()

    def loss(network: Any, x: Any, _: Any) -> Any:
        t = torch.rand(len(x)) * (1 - 1e-3) + 1e-3
        alpha, sigma = (
            torch.from_numpy(f(t.double().numpy())).float()[:, None] for f in (schedule.alpha, schedule.sigma)
        )
        eps = torch.randn_like(x)
        return ((network(alpha * x + sigma * eps, t) - eps) ** 2).mean()

    network = modules()["Perceptron"](64, 320, 4, rate=1000.0)
    network = trained(name, folder, network, images.reshape(-1, 64), loss, steps=6000, batch=256, average=0.999)
    about = "digits, 64 numbers, residual perceptron, noise prediction, continuous VP"
    return Subject(name, "noise", schedule, "noise", (64,), called(network, lambda t: t), about)


def cosine_v(name: str, folder: Path | None) -> Subject:
    """Progressive distillation's teacher (arXiv 2202.00512): v-prediction on the cosine schedule."""
    torch = _seed()
    schedule, data = Cosine(), photo_patches()

    def loss(network: Any, x: Any, _: Any) -> Any:
        t = torch.rand(len(x)) * 0.9946
        alpha, sigma = (
            torch.from_numpy(f(t.double().numpy())).float()[:, None] for f in (schedule.alpha, schedule.sigma)
        )
        eps = torch.randn_like(x)
        return ((network(alpha * x + sigma * eps, t) - (alpha * eps - sigma * x)) ** 2).mean()

    network = modules()["Perceptron"](64, 256, 3, rate=1000.0)
    network = trained(name, folder, network, data, loss, steps=4000, average=0.998)
    about = "photograph patches 8x8, residual perceptron, v-prediction, cosine schedule"
    return Subject(name, "chain", schedule, "velocity", (64,), called(network, lambda t: t), about)


def flow_patches(name: str, folder: Path | None) -> Subject:
    """Flow matching (arXiv 2210.02747) with uniform times, a perceptron on photograph patches."""
    torch = _seed()

    def loss(network: Any, x: Any, _: Any) -> Any:
        t, eps = torch.rand(len(x)), torch.randn_like(x)
        s = t[:, None]
        return ((network((1 - s) * x + s * eps, t) - (eps - x)) ** 2).mean()

    network = modules()["Perceptron"](64, 256, 3, rate=1000.0)
    network = trained(name, folder, network, photo_patches(), loss, steps=4000, average=0.998)
    about = "photograph patches 8x8, residual perceptron, flow matching, uniform times"
    return Subject(name, "flow", Flow(), "flow", (64,), called(network, lambda t: t), about)


def flow_board(name: str, folder: Path | None) -> Subject:
    """Flow matching on a checkerboard in the plane, a plain perceptron with t as a coordinate: every tutorial."""
    torch = _seed()

    def loss(network: Any, x: Any, _: Any) -> Any:
        t, eps = torch.rand(len(x)), torch.randn_like(x)
        s = t[:, None]
        return ((network((1 - s) * x + s * eps, t) - (eps - x)) ** 2).mean()

    network = modules()["Perceptron"](2, 128, 3, rate=None)
    network = trained(name, folder, network, board(), loss, steps=8000, batch=512, average=0.0)
    about = "checkerboard in the plane, perceptron, flow matching, uniform times"
    return Subject(name, "flow", Flow(), "flow", (2,), called(network, lambda t: t), about)


def edm_spots(name: str, folder: Path | None) -> Subject:
    """EDM (arXiv 2206.00364): preconditioned denoiser, lognormal noise levels, a U-Net on reaction patterns."""
    torch = _seed()
    s = 0.5

    class Preconditioned(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = modules()["UNet"](rate=250.0)

        def forward(self, x: Any, sigma: Any) -> Any:
            t = sigma.view(-1, *[1] * (x.ndim - 1))
            total = t**2 + s**2
            told = self.inner(x / total.sqrt(), sigma.log() / 4)
            return s**2 / total * x + t * s / total.sqrt() * told

    def loss(network: Any, x: Any, _: Any) -> Any:
        sigma = torch.exp(1.2 * torch.randn(len(x)) - 1.2)
        t = sigma.view(-1, 1, 1, 1)
        D = network(x + t * torch.randn_like(x), sigma)
        return ((t**2 + s**2) / (t * s) ** 2 * (D - x) ** 2).mean()

    network = trained(name, folder, Preconditioned(), spots(), loss, steps=1000, batch=32)
    about = "Gray-Scott patterns 16x16, U-Net, EDM's preconditioning and noise levels"
    return Subject(name, "edm", EDM(), "data", (1, 16, 16), called(network, lambda t: t), about)


def ours(name: str, folder: Path | None) -> Subject:
    schedule, network = EDM(*digits.SIGMA_RANGE), digits.load()
    call = compiled(lambda t, x, which: jax.vmap(network)(t, x, which % 10))
    about = "digits 8x8 by class, patch transformer, EDM's preconditioning; the network that ships"
    return Subject(name, "edm", schedule, "data", (8, 8), call, about, ours=True)


def exact(kind: str, schedule: Schedule, planar: bool = False) -> Callable[[str, Path | None], Subject]:
    """An exact mixture: ten Gaussians fitted to the digits, 64 numbers; or five in the plane."""

    def make(name: str, folder: Path | None) -> Subject:
        if planar:
            angle = 2 * np.pi * np.arange(5) / 5
            means = np.stack([np.cos(angle), np.sin(angle)], 1)
            data = mixture(schedule, [1.0, 2, 3, 2, 1], means, np.array([0.15, 0.2, 0.4, 0.25, 0.15]) ** 2)
        else:
            data = digits.class_gaussians(schedule)
        what = "five Gaussians in the plane" if planar else "ten Gaussians fitted to the digits, 64 numbers"
        call = compiled(lambda t, x, which: data.denoiser(t, x), np.float64)
        return Subject(name, kind, schedule, "data", (2,) if planar else (64,), call, f"exact, {what}")

    return make


MAKERS: dict[str, Callable[[str, Path | None], Subject]] = {
    "ddpm-unet": ddpm_unet,
    "script-400": script_400,
    "score-vp": score_vp,
    "cosine-v": cosine_v,
    "flow-patches": flow_patches,
    "flow-board": flow_board,
    "edm-spots": edm_spots,
    "digits": ours,
    "mixture-vp": exact("chain", VP()),
    "mixture-edm": exact("edm", EDM(*digits.SIGMA_RANGE)),
    "mixture-flow": exact("flow", Flow()),
    "plane-vp": exact("chain", VP(), planar=True),
}
