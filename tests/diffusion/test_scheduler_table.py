"""Every scheduler of the installed diffusers against `PlanScheduler` from its configuration: the same calls, the same
noise levels, the same sample on an exact denoiser; or a sentence. Then the configurations of well-known pipelines."""

from inspect import signature

import numpy as np
import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

from duhamel.diffusion.schedulers.configuration import REFUSED, SUPPORTED, classes
from duhamel.torch import PlanScheduler

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs

MEANS, SPREAD = (-1.0, 0.7), 0.3  # the data: two points, blurred


def mean_of(x, alpha, sigma):
    """E[x_0 | x = alpha x_0 + sigma eps] of the blurred points."""
    x, v = x.double(), (alpha * SPREAD) ** 2 + sigma**2
    logits = torch.stack([-((x - alpha * m) ** 2) / (2 * v) for m in MEANS])
    return sum(
        w * (m + alpha * SPREAD**2 / v * (x - alpha * m)) for w, m in zip(torch.softmax(logits, 0), MEANS, strict=True)
    )


def chain_of(c):
    """log(sigma/alpha) of a chain, by the definition of its variances."""
    n, kind = c.get("num_train_timesteps", 1000), c.get("beta_schedule", "linear")
    a, b = c.get("beta_start", 1e-4), c.get("beta_end", 0.02)
    if c.get("trained_betas") is not None:
        betas = np.asarray(c["trained_betas"])
    elif kind == "squaredcos_cap_v2":
        bar = np.cos((np.arange(n + 1) / n + 0.008) / 1.008 * np.pi / 2) ** 2
        betas = np.minimum(1 - bar[1:] / bar[:-1], 0.999)
    else:
        p = 0.5 if kind == "scaled_linear" else 1
        betas = np.linspace(a**p, b**p, n) ** (1 / p)
    product = np.cumprod(1 - betas)
    if s := c.get("snr_shift_scale"):
        product = product / (s + (1 - s) * product)
    if c.get("rescale_betas_zero_snr"):
        root = np.sqrt(product)
        product = np.maximum(((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2, 1e-14)
    return 0.5 * np.log((1 - product) / product)


def network(c, t, x):
    """What an exact network of this configuration returns for the input it is shown at its time t."""
    t, kind = float(t), c.get("prediction_type", "epsilon")
    flow = "shift" in c or c.get("use_flow_sigmas")
    if flow:
        s = t / c["num_train_timesteps"]
        s = min(1 - s if c.get("invert_sigmas") else s, 1 - 1e-6)
        D = mean_of(x, 1 - s, s)
        eps = (x.double() - (1 - s) * D) / s
        return {"epsilon": eps, "sample": D}.get(kind, D - eps if c.get("invert_sigmas") else eps - D).to(x.dtype)
    if "sigma_data" in c or c.get("timestep_type") == "continuous":
        s, sd = np.exp(4 * t) if "rho" not in c or c["sigma_max"] < 400 else np.tan(t * np.pi / 2), c.get("sigma_data", 1.0)
        whole = np.sqrt(s**2 + sd**2)
        y = x.double() * whole
        F = (mean_of(y, 1.0, s) - y * (sd / whole) ** 2) / (s * sd / whole)
        return (-F if kind == "v_prediction" else F).to(x.dtype)
    rho = np.exp(np.interp(t, np.arange(c["num_train_timesteps"]), chain_of(c)))
    alpha = 1 / np.hypot(1, rho)
    D = mean_of(x, alpha, alpha * rho)
    eps = (x.double() - alpha * D) / (alpha * rho)
    return {"epsilon": eps, "sample": D, "v_prediction": alpha * eps - alpha * rho * D}[kind].to(x.dtype)


def run(scheduler, c, steps, given=None):
    """As a pipeline runs it. The sample, the times it was asked at, and the spread of its first noise over sigma."""
    scheduler.set_timesteps(steps, **(given or {}))
    x = torch.randn(4, 2, 4, 4, generator=torch.Generator().manual_seed(0)) * float(getattr(scheduler, "init_noise_sigma", 1.0))
    g, times = torch.Generator().manual_seed(1), []
    for t in scheduler.timesteps:
        out = network(c, t, scheduler.scale_model_input(x, t))
        drawn = {"generator": g} if "generator" in signature(scheduler.step).parameters else {}
        x = scheduler.step(out, t, x, **drawn).prev_sample
        times.append(float(t))
    return x, times


def theirs_of(name, config):
    return getattr(diffusers, name)(**config)


def check(name, config, steps, tol=2e-4, given=None, times=1e-5, **ours):
    theirs = theirs_of(name, config)
    mine = PlanScheduler.from_config(theirs, **ours)
    c = dict(theirs.config)
    x, asked = run(theirs, c, steps, given)
    y, told = run(mine, c, steps, given)
    assert told == pytest.approx(asked, rel=times, abs=1e-6)
    if getattr(theirs, "sigmas", None) is not None and len(theirs.sigmas) == len(mine.sigmas):
        ends = [float(theirs.sigmas[k]) for k in (0, -1)]
        assert [float(mine.sigmas[k]) for k in (0, -1)] == pytest.approx(ends, rel=1e-3, abs=1e-6)
    gap = float((x - y).abs().max() / x.abs().max().clamp(min=1.0))
    assert gap < tol, f"{gap:.1e}"
    return mine


SAME = {
    "DDIMScheduler": {"clip_sample": False},
    "DDIMParallelScheduler": {"clip_sample": False},
    "DDPMScheduler": {"clip_sample": False},
    "DDPMParallelScheduler": {"clip_sample": False},
    "CogVideoXDDIMScheduler": {"clip_sample": False},
    "DPMSolverMultistepScheduler": {},
    "UniPCMultistepScheduler": {},
    "DEISMultistepScheduler": {},
    "EulerDiscreteScheduler": {},
    "EulerAncestralDiscreteScheduler": {},
    "HeunDiscreteScheduler": {},
    "LMSDiscreteScheduler": {},
    "KDPM2DiscreteScheduler": {},
    "EDMEulerScheduler": {},
    "EDMDPMSolverMultistepScheduler": {},
    "FlowMatchEulerDiscreteScheduler": {},
    "FlowMatchHeunDiscreteScheduler": {},
    "FlowMatchLCMScheduler": {},
}


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("steps", [1, 2, 3, 5, 20])
def test_the_same_as_theirs(name, steps):
    check(name, SAME[name], steps)
