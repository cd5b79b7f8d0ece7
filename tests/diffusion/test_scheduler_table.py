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


def network(c, t, x, levels):
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
        s, sd = (
            np.exp(4 * t) if "rho" not in c or c["sigma_max"] < 400 else np.tan(t * np.pi / 2),
            c.get("sigma_data", 1.0),
        )
        whole = np.sqrt(s**2 + sd**2)
        y = x.double() * whole
        F = (mean_of(y, 1.0, s) - y * (sd / whole) ** 2) / (s * sd / whole)
        return (-F if kind == "v_prediction" else F).to(x.dtype)
    rho = np.exp(np.interp(t, np.arange(len(levels)), levels))
    alpha = 1 / np.hypot(1, rho)
    D = mean_of(x, alpha, alpha * rho)
    eps = (x.double() - alpha * D) / (alpha * rho)
    return {"epsilon": eps, "sample": D, "v_prediction": alpha * eps - alpha * rho * D}[kind].to(x.dtype)


def run(scheduler, c, steps, given=None):
    """As a pipeline runs it. The sample, the times it was asked at, and the spread of its first noise over sigma."""
    scheduler.set_timesteps(steps, **(given or {}))
    x = torch.randn(4, 2, 4, 4, generator=torch.Generator().manual_seed(0)) * float(
        getattr(scheduler, "init_noise_sigma", 1.0)
    )
    g, times, levels = torch.Generator().manual_seed(1), [], chain_of(c)
    for t in scheduler.timesteps:
        shown = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        out = network(c, t, shown, levels)
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
@pytest.mark.parametrize("steps", [1, 3, 12])
def test_the_same_as_theirs(name, steps):
    check(name, SAME[name], steps)


DPM, UNIPC, EULER, FLOW = (
    f"{n}Scheduler" for n in ("DPMSolverMultistep", "UniPCMultistep", "EulerDiscrete", "FlowMatchEulerDiscrete")
)
SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
LOW = {"final_sigmas_type": "sigma_min"}
WAN = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
ZERO = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}
OPTIONS = [
    *(
        (name, {"timestep_spacing": spacing, **SD})
        for name in (DPM, UNIPC, EULER)
        for spacing in ("leading", "trailing")
    ),
    *(
        (name, {key: True})
        for name in (DPM, UNIPC, EULER, "HeunDiscreteScheduler", "LMSDiscreteScheduler", "DEISMultistepScheduler")
        for key in ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
    ),
    (DPM, {"use_lu_lambdas": True}),
    (EULER, {"interpolation_type": "log_linear"}),
    *((DPM, {"solver_order": k, "lower_order_final": low}) for k in (1, 2, 3) for low in (False, True)),
    *(
        (DPM, {"solver_order": k, "final_sigmas_type": "sigma_min", "euler_at_final": e, "lower_order_final": False})
        for k in (2, 3)
        for e in (False, True)
    ),
    (DPM, {"solver_type": "heun"}),
    (DPM, {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}),
    (DPM, {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min", "solver_type": "heun"}),
    (DPM, {"algorithm_type": "sde-dpmsolver++"}),
    (DPM, {"algorithm_type": "sde-dpmsolver++", "solver_order": 1}),
    (DPM, {"beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": -5.1}),
    (DPM, {"thresholding": True, "sample_max_value": 1.5}),
    (DPM, {"prediction_type": "sample"}),
    (DPM, {"trained_betas": np.linspace(1e-3, 0.01, 1000).tolist()}),
    *(
        (UNIPC, {"solver_order": k, "solver_type": b, "predict_x0": x0, "final_sigmas_type": "sigma_min"})
        for k in (1, 2, 3)
        for b in ("bh1", "bh2")
        for x0 in (True, False)
    ),
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
    *(
        ("EDMEulerScheduler", {"sigma_schedule": k, "prediction_type": p, "final_sigmas_type": f})
        for k in ("karras", "exponential")
        for p in ("epsilon", "v_prediction")
        for f in ("zero", "sigma_min")
    ),
    *(("EDMDPMSolverMultistepScheduler", {"solver_order": k, "sigma_schedule": "exponential"}) for k in (2, 3)),
    (
        "EDMDPMSolverMultistepScheduler",
        {"algorithm_type": "sde-dpmsolver++", "sigma_max": 20.0, "rho": 5.0, "sigma_data": 1.0},
    ),
    *(
        (FLOW, {"shift": 3.0, key: True})
        for key in (
            "use_karras_sigmas",
            "use_exponential_sigmas",
            "use_beta_sigmas",
            "invert_sigmas",
            "stochastic_sampling",
        )
    ),
    (FLOW, {"shift": 2.0, "shift_terminal": 0.1}),
    *((name, {**WAN, "flow_shift": 3.0}) for name in (DPM, UNIPC, "DEISMultistepScheduler")),
    (UNIPC, {**WAN, "flow_shift": 5.0, "shift_terminal": 0.1}),
    (UNIPC, {**WAN, "use_karras_sigmas": True}),
    (UNIPC, {**WAN, "final_sigmas_type": "sigma_min"}),
]


@pytest.mark.parametrize(
    ("name", "config"),
    OPTIONS,
    ids=lambda v: v if isinstance(v, str) else ",".join(f"{k}={w}"[:40] for k, w in v.items()),
)
def test_every_option_is_as_theirs(name, config):
    check(name, config, 5 if "DDIM" not in name else 10)


@pytest.mark.parametrize(
    ("name", "config", "given"),
    [
        (FLOW, {"use_dynamic_shifting": True}, {"mu": 0.8}),
        (FLOW, {"use_dynamic_shifting": True, "time_shift_type": "linear"}, {"mu": 0.8}),
        (FLOW, {"use_dynamic_shifting": True, "shift_terminal": 0.1}, {"mu": 1.2}),
        (FLOW, {"shift": 1.0}, {"mu": 0.8}),
        (UNIPC, {**WAN, "use_dynamic_shifting": True}, {"mu": 0.8}),
        (DPM, {**WAN, "use_dynamic_shifting": True}, {"mu": 0.8}),
    ],
)
def test_shifts_of_a_pipeline_are_theirs(name, config, given):
    check(name, config, 9, given=given)


SEQ = {"base_image_seq_len": 256, "base_shift": 0.5, "max_image_seq_len": 4096, "max_shift": 1.15}
PIPELINES = {  # the configurations that these models are published with
    "SD 1.5": ("PNDMScheduler", {**SD, "skip_prk_steps": True, "set_alpha_to_one": False, "steps_offset": 1}),
    "SDXL": (EULER, {**SD, "timestep_spacing": "leading", "steps_offset": 1}),
    "SD 2.1-v": ("DDIMScheduler", {**SD, "prediction_type": "v_prediction", "clip_sample": False,
                                   "set_alpha_to_one": False, "steps_offset": 1}),
    "SVD": (EULER, {**SD, "sigma_min": 0.002, "sigma_max": 700.0, "timestep_type": "continuous", "steps_offset": 1,
                    "prediction_type": "v_prediction", "use_karras_sigmas": True, "timestep_spacing": "leading"}),
    "Playground 2.5": ("EDMDPMSolverMultistepScheduler", {"euler_at_final": True}),
    "SD 3": (FLOW, {"shift": 3.0}),
    "Flux schnell": (FLOW, {"shift": 1.0, **SEQ}),
    "Flux dev": (FLOW, {"shift": 3.0, "use_dynamic_shifting": True, **SEQ}),
    "LTX": (FLOW, {"shift_terminal": 0.1, "use_dynamic_shifting": True, "base_shift": 0.95, "max_shift": 2.05}),
    "AuraFlow": (FLOW, {"shift": 1.73}),
    "Mochi": (FLOW, {"invert_sigmas": True}),
    "Wan": (UNIPC, {**WAN, "flow_shift": 3.0}),
    "Sana": (DPM, {**WAN, "flow_shift": 3.0}),
    "Kolors": (EULER, {**SD, "beta_end": 0.014, "num_train_timesteps": 1100, "timestep_spacing": "leading",
                       "steps_offset": 1}),
    "PixArt": (DPM, {"solver_order": 2}),
    "HunyuanDiT": ("DDPMScheduler", {**SD, "beta_end": 0.02, "prediction_type": "v_prediction",
                                     "steps_offset": 1, "clip_sample": False}),
    "CogVideoX": ("CogVideoXDDIMScheduler", {**SD, **ZERO, "snr_shift_scale": 3.0, "clip_sample": False}),
    "CogVideoX 5B": ("CogVideoXDDIMScheduler", {**SD, **ZERO, "snr_shift_scale": 1.0, "clip_sample": False}),
}  # fmt: skip


@pytest.mark.parametrize("model", PIPELINES)
def test_the_configurations_of_known_models(model):
    """From the dictionary on disk, with keys that other classes left there, and by its own method where it has one."""
    name, config = PIPELINES[model]
    left = (
        {}
        if "shift" in config or name in (FLOW, "EDMDPMSolverMultistepScheduler")
        else {"clip_sample": False, "skip_prk_steps": True}
    )
    on_disk = {"_class_name": name, "_diffusers_version": "0.19.0", **left, **config}
    mu = {"mu": 1.15} if config.get("use_dynamic_shifting") or "Flux" in model else {}
    theirs = getattr(diffusers, name).from_config(on_disk)
    c = dict(theirs.config)
    if name == "PNDMScheduler":  # calls one time twice; DDIM's grid is its own
        with pytest.raises(ValueError, match="no plan does what PNDMScheduler does; pass plan="):
            PlanScheduler.from_config(on_disk)
        ours = [PlanScheduler.from_config(d, plan="unipc") for d in (on_disk, theirs.config, theirs)]
        ends = [run(s, c, 10) for s in ours]
        assert ends[0][1] == sorted(set(run(theirs, c, 10)[1]), reverse=True) and torch.equal(ends[0][0], ends[2][0])
        return
    x, asked = run(theirs, c, 10, mu)
    for told in (on_disk, theirs.config, theirs):
        if name == "CogVideoXDDIMScheduler" and told is theirs.config and "_class_name" not in told:
            continue
        y, times = run(PlanScheduler.from_config(told), c, 10, mu)
        assert times == pytest.approx(asked, rel=1e-5, abs=1e-6)
        assert float((x - y).abs().max() / x.abs().max().clamp(min=1.0)) < 5e-4


def test_stable_audio():
    """CosineDPMSolverMultistep needs torchsde, so its rule stands here: 500 to 0.3, equal steps in log sigma, and the
    network's time is 2 atan(sigma)/pi. Samples have the law of the data."""
    config = {"_class_name": "CosineDPMSolverMultistepScheduler", "sigma_min": 0.3, "sigma_max": 500,
              "sigma_data": 1.0, "sigma_schedule": "exponential", "prediction_type": "v_prediction",
              "solver_order": 2, "rho": 7.0}  # fmt: skip
    scheduler = PlanScheduler.from_config(config)
    x, times = run(scheduler, dict(scheduler.config), 60)
    sigmas = np.geomspace(500, 0.3, 60)
    np.testing.assert_allclose(scheduler.sigmas, [*sigmas, 0.0], rtol=1e-5)
    np.testing.assert_allclose(times, np.arctan(sigmas) / np.pi * 2, rtol=1e-5)
    assert scheduler.plan.name == "sde-dpmpp-2m" and abs(float(x.mean()) + 0.15) < 0.35 and 0.6 < float(x.std()) < 1.1


def test_score_sde_ve():
    config = diffusers.ScoreSdeVeScheduler(sigma_max=50.0).config
    scheduler = PlanScheduler.from_config(config, plan="ddim")
    scheduler.set_timesteps(30)
    theirs = diffusers.ScoreSdeVeScheduler(sigma_max=50.0)
    theirs.set_timesteps(30)
    theirs.set_sigmas(30)
    np.testing.assert_allclose(scheduler.timesteps, theirs.timesteps, rtol=1e-5)
    np.testing.assert_allclose(scheduler.sigmas[:-1], theirs.sigmas, rtol=1e-4)
    x = torch.randn(2000, 1, generator=torch.Generator().manual_seed(0)) * scheduler.init_noise_sigma
    for t, s in zip(scheduler.timesteps, scheduler.sigmas.tolist(), strict=False):
        x = scheduler.step((mean_of(x, 1.0, s) - x.double()) / s**2, t, x).prev_sample
    np.testing.assert_allclose([x.mean(), x.std()], [-0.15, np.hypot(0.85, SPREAD)], atol=0.08)
    own = PlanScheduler.from_config(config)
    own.set_timesteps(5)
    assert own.plan.name == "predictor-corrector"


@pytest.mark.parametrize("name", sorted(set(classes()) - set(SUPPORTED)))
def test_every_other_class_is_refused_by_name(name):
    with pytest.raises(ValueError, match=f"configuration of {name}: "):
        PlanScheduler.from_config({"_class_name": name})


# Samplers of tokens: they have no noise levels at all.
TOKENS = {
    "AmusedScheduler",
    "BlockRefinementScheduler",
    "DiscreteDDIMScheduler",
    "EntropyBoundScheduler",
    "VQDiffusionScheduler",
}


def test_none_is_forgotten():
    assert set(classes()) <= set(SUPPORTED) | set(REFUSED) | TOKENS
    assert (
        set(SUPPORTED)
        - set(SAME)
        - {
            *("DPMSolverSinglestepScheduler", "SASolverScheduler", "PNDMScheduler", "KDPM2AncestralDiscreteScheduler"),
            *("CogVideoXDPMScheduler", "UnCLIPScheduler", "CosineDPMSolverMultistepScheduler", "ScoreSdeVeScheduler"),
            "FlowMatchHeunDiscreteScheduler",
        }
        == set()
    )


NO_METHOD = {
    "DPMSolverSinglestepScheduler": {},
    "SASolverScheduler": {},
    "CogVideoXDPMScheduler": {},
    "UnCLIPScheduler": {},
    "FlowMatchHeunDiscreteScheduler": {"shift": 3.0},
    "KDPM2AncestralDiscreteScheduler": {},
}


@pytest.mark.parametrize("name", NO_METHOD)
def test_methods_that_are_no_plan_are_refused_and_their_grids_taken(name):
    theirs = theirs_of(name, NO_METHOD[name])
    with pytest.raises(ValueError, match=f"no plan does what {name} does; pass plan="):
        PlanScheduler.from_config(theirs)
    ours = PlanScheduler.from_config(theirs, plan="flow-euler" if "Flow" in name else "dpmpp-2m")
    if "KDPM2" in name:  # whose times have half steps between them
        theirs = diffusers.LMSDiscreteScheduler(beta_start=0.00085, beta_end=0.012)
    for s in (ours, theirs):
        s.set_timesteps(8)
    told = list(dict.fromkeys(theirs.timesteps.tolist()))
    np.testing.assert_allclose(ours.timesteps, told, rtol=1e-5)


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("steps", [2, 3, 5, 6, 16])
def test_a_plan_that_is_named_follows_the_orders_of_the_configuration(order, steps):
    """So that a run of few steps is nowhere worse than diffusers'."""
    check(UNIPC, {"solver_order": order, **SD}, steps, plan="unipc")
    if order == 2:
        check(DPM, {"solver_order": order, **SD}, steps, plan="dpmpp-2m")


@pytest.mark.parametrize("name", [DPM, "DDIMScheduler", EULER])
@pytest.mark.parametrize("spacing", ["linspace", "leading", "trailing"])
def test_every_number_of_steps_gives_as_many_calls(name, spacing):
    """Where diffusers itself gives as many falling times these are they. It does not at 61 and 103 by "trailing", nor
    (multistep schedulers) for the whole chain."""
    n = 40
    theirs = theirs_of(name, {"timestep_spacing": spacing, "steps_offset": 1, "num_train_timesteps": n})
    ours = PlanScheduler.from_config(theirs, plan="ddim")
    same = 0
    for steps in range(1, n + 1):
        for s in (ours, theirs):
            s.set_timesteps(steps)
        told, given = ours.timesteps.tolist(), theirs.timesteps.tolist()
        assert len(told) == steps == len(set(told)) and min(told) >= 0 and max(told) <= n - 1
        same += told == given
        if len(set(given)) == steps and max(given) <= n - 1:
            assert told == given
    assert same >= n - 8


def test_where_a_float_step_gives_one_call_more():
    theirs = theirs_of(DPM, {"timestep_spacing": "trailing"})
    ours = PlanScheduler.from_config(theirs)
    for s in (ours, theirs):
        s.set_timesteps(61)
    assert (len(theirs.timesteps), int(theirs.timesteps[-1])) == (62, -1)
    assert ours.timesteps.tolist() == theirs.timesteps.tolist()[:61]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PlanScheduler.from_config({"_class_name": DPM, "beta_strat": 1e-4}), "key 'beta_strat'.*leave"),
        (lambda: PlanScheduler(beta_strat=1e-4), "key 'beta_strat'"),
        (lambda: PlanScheduler.from_config({"snr_shift_scale": 3.0}), "snr_shift_scale.*_class_name"),
        (lambda: PlanScheduler.from_config(theirs_of(DPM, {}), shift=3.0), "shift.*DPMSolverMultistepScheduler"),
        (lambda: PlanScheduler.from_config(theirs_of(UNIPC, {"disable_corrector": [0]})), "disable_corrector = .*unip"),
        (lambda: PlanScheduler.from_config(theirs_of("SASolverScheduler", {"tau_func": max})), "tau_func.*options"),
        (lambda: PlanScheduler.from_config(theirs_of(DPM, {"solver_order": 3, "algorithm_type": "sde-dpmsolver++"})),
         "solver_order = 3.*sde-dpmpp-3m"),
        (lambda: PlanScheduler.from_config(theirs_of(DPM, {"algorithm_type": "sde-dpmsolver", **LOW})),
         "algorithm_type = 'sde-dpmsolver'"),
        (lambda: PlanScheduler.from_config(theirs_of("DDPMScheduler", {"variance_type": "learned_range"})),
         "variance_type"),
        (lambda: PlanScheduler.from_config(theirs_of("DDIMScheduler", {"rescale_betas_zero_snr": True})),
         "rescale_betas_zero_snr.*v_prediction"),
        (lambda: PlanScheduler.from_config(theirs_of("LMSDiscreteScheduler", {}).config), "KDPM2.*or.*LMS.*pass plan"),
        (lambda: PlanScheduler.from_config(theirs_of(FLOW, {"use_dynamic_shifting": True})).set_timesteps(5),
         "pass mu"),
        (lambda: PlanScheduler.from_config(theirs_of(UNIPC, WAN)).set_timesteps(5, mu=1.0),
         "use_dynamic_shifting=False"),
        (lambda: PlanScheduler.from_config(3), "config is a int"),
        (lambda: PlanScheduler().set_timesteps(timesteps=[1, 500, 999]), r"timesteps must all fall.*\[0\] = 1"),
        (lambda: PlanScheduler().set_timesteps(sigmas=[0.1, 1.0, 10.0]), "sigmas must all fall"),
        (lambda: PlanScheduler().set_timesteps(timesteps=[]), "timesteps = .*at least one"),
        (lambda: PlanScheduler().set_timesteps(sigmas=[]), "sigmas = .*at least one"),
        (lambda: PlanScheduler().set_timesteps(timesteps=[1000, 500, 100]), "timesteps from 100 to 1000.*0 to 999"),
        (lambda: PlanScheduler(**SD).set_timesteps(sigmas=[80.0, 1.0]), "begin with 80.*is 14.6"),
        (lambda: PlanScheduler(flow=True).set_timesteps(sigmas=[1.5, 0.5]), "begin with 1.5.*at most 1"),
        (lambda: PlanScheduler(flow=True).set_timesteps(timesteps=[1200.0, 5.0]), "timesteps from 5 to 1200"),
        (lambda: PlanScheduler().add_noise(torch.zeros(1, 1), torch.zeros(1, 1), torch.tensor([1200])), "1200"),
        (lambda: PlanScheduler().set_timesteps(0), "num_inference_steps = 0"),
        (lambda: PlanScheduler().set_timesteps(2.5), "num_inference_steps = 2.5"),
        (lambda: PlanScheduler(prediction_type="flow_prediction"), "flow_prediction.*use_flow_sigmas"),
        (lambda: PlanScheduler(trained_betas=[0.1, 0.2]), "trained_betas has shape"),
    ],
)  # fmt: skip
def test_bad_configurations_are_one_sentence(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_learned_variance_is_left_away_and_data_are_bounded():
    scheduler = PlanScheduler(plan="ddim", variance_type="learned_range", clip_sample=True, clip_sample_range=0.5)
    scheduler.set_timesteps(4)
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    out = scheduler.step(torch.cat([x, 99 + x], 1), scheduler.timesteps[0], x)
    assert float(out.pred_original_sample.abs().max()) <= 0.5
    with pytest.raises(ValueError, match="5 channels for a sample of 3"):
        scheduler.step(torch.zeros(2, 5, 4, 4), scheduler.timesteps[1], x)


def test_noise_that_a_pipeline_gives_is_used():
    scheduler = PlanScheduler(plan="ddim", options={"eta": 1.0})
    scheduler.set_timesteps(4)
    x, z = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    with_it, without = (
        PlanScheduler.step(scheduler, x, scheduler.timesteps[0], x, variance_noise=w).prev_sample for w in (z, 0 * z)
    )
    assert float((with_it - without).min()) > 0.1
