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
        shown = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        out = network(c, t, shown)
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
    "FlowMatchLCMScheduler": {},
}


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("steps", [1, 2, 3, 5, 20])
def test_the_same_as_theirs(name, steps):
    check(name, SAME[name], steps)


DPM, UNIPC, EULER, FLOW = (f"{n}Scheduler" for n in ("DPMSolverMultistep", "UniPCMultistep", "EulerDiscrete", "FlowMatchEulerDiscrete"))
SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
WAN = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
ZERO = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}
OPTIONS = [
    *((name, {"timestep_spacing": spacing, **SD}) for name in (DPM, UNIPC, EULER) for spacing in ("leading", "trailing")),
    *((name, {key: True}) for name in (DPM, UNIPC, EULER, "HeunDiscreteScheduler", "LMSDiscreteScheduler", "DEISMultistepScheduler")
      for key in ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")),
    (DPM, {"use_lu_lambdas": True}),
    (EULER, {"interpolation_type": "log_linear"}),
    *((DPM, {"solver_order": k, "lower_order_final": low}) for k in (1, 2, 3) for low in (False, True)),
    *((DPM, {"solver_order": k, "final_sigmas_type": "sigma_min", "euler_at_final": e, "lower_order_final": False}) for k in (2, 3) for e in (False, True)),
    (DPM, {"solver_type": "heun"}),
    (DPM, {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}),
    (DPM, {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min", "solver_type": "heun"}),
    (DPM, {"algorithm_type": "sde-dpmsolver++"}),
    (DPM, {"algorithm_type": "sde-dpmsolver++", "solver_order": 1}),
    (DPM, {"beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": -5.1}),
    (DPM, {"thresholding": True, "sample_max_value": 1.5}),
    (DPM, {"prediction_type": "sample"}),
    (DPM, {"trained_betas": np.linspace(1e-3, 0.01, 1000).tolist()}),
    *((UNIPC, {"solver_order": k, "solver_type": b, "predict_x0": x0, "final_sigmas_type": "sigma_min"}) for k in (1, 2, 3) for b in ("bh1", "bh2") for x0 in (True, False)),
    (UNIPC, {"final_sigmas_type": "sigma_min"}),
    *(("DEISMultistepScheduler", {"solver_order": k}) for k in (1, 2, 3)),
    ("DDPMScheduler", {"clip_sample": True}),
    ("DDPMScheduler", {"clip_sample": False, "variance_type": "fixed_large"}),
    ("DDPMScheduler", {"clip_sample": False, "variance_type": "fixed_small_log", "beta_schedule": "squaredcos_cap_v2"}),
    ("DDIMScheduler", {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1, **SD}),
    ("DDIMScheduler", {"clip_sample": False, "set_alpha_to_one": False, **SD}),
    *((name, ZERO | SD) for name in (DPM, UNIPC, EULER, "EulerAncestralDiscreteScheduler")),
    ("DDIMScheduler", {**ZERO, "clip_sample": False}),
    ("CogVideoXDDIMScheduler", {**ZERO, "clip_sample": False, "snr_shift_scale": 1.0}),
    ("CogVideoXDDIMScheduler", {**ZERO, "clip_sample": False, "snr_shift_scale": 3.0}),
    *(("EDMEulerScheduler", {"sigma_schedule": k, "prediction_type": p, "final_sigmas_type": f}) for k in ("karras", "exponential") for p in ("epsilon", "v_prediction") for f in ("zero", "sigma_min")),
    *(("EDMDPMSolverMultistepScheduler", {"solver_order": k, "sigma_schedule": "exponential"}) for k in (2, 3)),
    ("EDMDPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "sigma_max": 20.0, "rho": 5.0, "sigma_data": 1.0}),
    *((FLOW, {"shift": 3.0, key: True}) for key in ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "invert_sigmas", "stochastic_sampling")),
    (FLOW, {"shift": 2.0, "shift_terminal": 0.1}),
    *((name, {**WAN, "flow_shift": 3.0}) for name in (DPM, UNIPC, "DEISMultistepScheduler")),
    (UNIPC, {**WAN, "flow_shift": 5.0, "shift_terminal": 0.1}),
    (UNIPC, {**WAN, "use_karras_sigmas": True}),
    (UNIPC, {**WAN, "final_sigmas_type": "sigma_min"}),
]


@pytest.mark.parametrize(("name", "config"), OPTIONS, ids=lambda v: v if isinstance(v, str) else ",".join(f"{k}={w}"[:40] for k, w in v.items()))
def test_every_option_is_as_theirs(name, config):
    check(name, config, 10)


@pytest.mark.parametrize(("name", "config", "given"), [
    (FLOW, {"use_dynamic_shifting": True}, {"mu": 0.8}),
    (FLOW, {"use_dynamic_shifting": True, "time_shift_type": "linear"}, {"mu": 0.8}),
    (FLOW, {"use_dynamic_shifting": True, "shift_terminal": 0.1}, {"mu": 1.2}),
    (FLOW, {"shift": 1.0}, {"mu": 0.8}),
    (UNIPC, {**WAN, "use_dynamic_shifting": True}, {"mu": 0.8}),
    (DPM, {**WAN, "use_dynamic_shifting": True}, {"mu": 0.8}),
])
def test_shifts_of_a_pipeline_are_theirs(name, config, given):
    check(name, config, 9, given=given)
