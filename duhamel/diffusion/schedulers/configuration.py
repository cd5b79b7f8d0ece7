"""A configuration of diffusers, read whole: whose it is, and that every key of it is known.

A live configuration does not say its class, and one that was converted names the class it came from. What it does say
is the order of its keys: those of the class's own constructor come first. So that decides, then `_class_name`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from inspect import signature
from typing import Any

import diffusers

CHAINS = (
    *("DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "UniPCMultistepScheduler"),
    *("DEISMultistepScheduler", "SASolverScheduler", "DDIMScheduler", "DDIMParallelScheduler", "DDPMScheduler"),
    *("DDPMParallelScheduler", "PNDMScheduler", "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler"),
    *("HeunDiscreteScheduler", "LMSDiscreteScheduler", "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler"),
    *("CogVideoXDDIMScheduler", "CogVideoXDPMScheduler", "UnCLIPScheduler"),
)
# Without diffusers' floor of 2^-24 under alpha^2 at a terminal level without signal.
UNFLOORED = ("DDIMScheduler", "DDIMParallelScheduler", "DDPMScheduler", "DDPMParallelScheduler")
UNFLOORED += ("CogVideoXDDIMScheduler", "CogVideoXDPMScheduler")
CONTINUOUS = ("EDMEulerScheduler", "EDMDPMSolverMultistepScheduler", "CosineDPMSolverMultistepScheduler")
EXPLODING = ("ScoreSdeVeScheduler",)
FLOWS = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler", "FlowMatchLCMScheduler")
SUPPORTED = (*CHAINS, *CONTINUOUS, *EXPLODING, *FLOWS)

# What cannot be asked of a class whose own dependency (torchsde) is not installed.
WITHOUT = {
    "CosineDPMSolverMultistepScheduler": {
        "sigma_min": 0.3,
        "sigma_max": 500,
        "sigma_data": 1.0,
        "sigma_schedule": "exponential",
        "num_train_timesteps": 1000,
        "solver_order": 2,
        "prediction_type": "v_prediction",
        "rho": 7.0,
        "solver_type": "midpoint",
        "lower_order_final": True,
        "euler_at_final": False,
        "final_sigmas_type": "zero",
    }
}

# Keys that may have any value, and why.
HARMLESS = {
    "base_shift": "read by pipelines, which make mu of it",
    "max_shift": "read by pipelines, which make mu of it",
    "base_image_seq_len": "read by pipelines, which make mu of it",
    "max_image_seq_len": "read by pipelines, which make mu of it",
    "sampling_eps": "the last time of the grid, which is read",
    "skip_prk_steps": "how PNDM starts; another method starts otherwise",
    "upscale_mode": "of scale_factors, which are refused",
    "original_inference_steps": "of distilled models; refused with their classes",
}
# Keys that change what is sampled and that a plan has not: refused unless they have one of these values.
OFF: dict[str, tuple[Any, ...]] = {
    "solver_p": (None,),
    "disable_corrector": (None, [], ()),
    "tau_func": (None,),
    "scale_factors": (None,),
}
KNOWN = {
    "timestep_spacing": ("linspace", "leading", "trailing"),
    "final_sigmas_type": ("zero", "sigma_min"),
    "sigma_schedule": ("karras", "exponential"),
    "time_shift_type": ("exponential", "linear"),
    "interpolation_type": ("linear", "log_linear"),
    "timestep_type": ("discrete", "continuous"),
}
REMEDY = {
    "solver_p": "a plan has one predictor: leave it None",
    "disable_corrector": "leave it empty, or take plan='unip', which never corrects",
    "tau_func": "a function cannot be kept in a plan: leave it None, and pass options={'tau': ..., 'span': ...}",
    "scale_factors": "a plan keeps the size of the sample: leave it None",
}
# Keys of single classes that mean the same for any chain.
FOREIGN = {"clip_sample", "clip_sample_range", "thresholding", "dynamic_thresholding_ratio", "sample_max_value"}
FOREIGN |= {"variance_type", "rescale_betas_zero_snr", "set_alpha_to_one"}
# Classes that are no sampler of a diffusion model with known noise levels, and why.
REFUSED = {
    "LCMScheduler": "timestep_scaling belongs to a consistency model, whose output is mixed with the sample by it",
    "TCDScheduler": "timestep_scaling belongs to a consistency model, whose output is mixed with the sample by it",
    "CMStochasticIterativeScheduler": "clip_denoised and s_noise belong to a consistency model; its sampler is itself",
    "ConsistencyDecoderScheduler": "it decodes latents in two steps of a consistency model",
    "SCMScheduler": "prediction_type 'trigflow' is not among those that a plan reads",
    "DDIMInverseScheduler": "it goes from data to noise; plan.reversed() undoes a plan",
    "DPMSolverMultistepInverseScheduler": "it goes from data to noise; plan.reversed() undoes a plan",
    "RePaintScheduler": "it inpaints by going back up; pass an inpainting pipeline a plain scheduler's configuration",
    "IPNDMScheduler": "its noise levels are fixed, and trained_betas does not say them; take a chain and plan='ipndm'",
    "DPMSolverSDEScheduler": "its noise is a Brownian tree; take EulerDiscreteScheduler's configuration",
    "ScoreSdeVpScheduler": "beta_min and beta_max are of a continuous process; duhamel.diffusion.VP has it",
    "KarrasVeScheduler": "s_churn and its levels belong to its own two-part step; plan='heun' on EDMEulerScheduler's",
    "DDPMWuerstchenScheduler": "scaler and s move its noise levels by the time of each call",
    "FlowMapEulerDiscreteScheduler": "a flow map is asked for two times at once",
    "LTXEulerAncestralRFScheduler": "eta and s_noise renoise a flow, and its levels come from its pipeline alone",
    "HeliosScheduler": "stages renoise between resolutions",
    "HeliosDMDScheduler": "stages renoise between resolutions",
    "PiflowScheduler": "its network returns a policy, not a prediction",
    "MiniMaxH3Scheduler": "it is made for one pipeline, which steps it by itself",
    "RFD4ProteinaScheduler": "it moves coordinates and sequences of proteins",
}


def check_signal(c: "Configuration", kind: str) -> None:
    """A chain whose last level is noise alone says nothing of the data through its noise."""
    if c.get("rescale_betas_zero_snr") and kind == "noise" and c.name in UNFLOORED:
        raise ValueError(
            "rescale_betas_zero_snr with prediction_type = 'epsilon': at the last time there is no signal, and the "
            "noise does not tell the data; such a model predicts 'v_prediction' or 'sample'."
        )


@dataclass(frozen=True)
class Configuration:
    """name  the class of diffusers whose configuration it is;  also  others with the same keys
    values   every key of that class, and whatever else the configuration held"""

    name: str
    values: dict[str, Any]
    also: tuple[str, ...] = ()

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    @property
    def flow(self) -> bool:
        return self.name in FLOWS or bool(self.get("use_flow_sigmas"))

    @property
    def continuous(self) -> bool:
        """Noise levels that no chain has: EDM's, or a chain's network asked beyond it, as Stable Video Diffusion's."""
        told = any(self.get(key) is not None for key in ("sigma_min", "sigma_max"))
        beyond = self.name == "EulerDiscreteScheduler" and (told or self.get("timestep_type") == "continuous")
        return self.name in CONTINUOUS or beyond


@cache
def keys_of(name: str) -> dict[str, Any]:
    """The keys of a class of diffusers with their defaults, in its order."""
    found = getattr(diffusers, name, None)
    if name in WITHOUT:
        return WITHOUT[name]
    if found is None or not hasattr(found, "__init__"):
        return {}
    return {
        key: (None if p.default is p.empty else p.default)
        for key, p in signature(found.__init__).parameters.items()
        if key != "self" and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }


@cache
def classes() -> tuple[str, ...]:
    """Every scheduler that the installed diffusers has."""
    return tuple(name for name in dir(diffusers) if name.endswith("Scheduler") and name != "PlanScheduler")


@cache
def all_keys() -> frozenset[str]:
    return frozenset(key for name in (*classes(), *WITHOUT) for key in keys_of(name))


def read(told: Mapping[str, Any], changes: Mapping[str, Any]) -> Configuration:
    """Whose configuration it is, with `changes` of single keys; unknown keys are refused."""
    name, also = whose(told)
    if name in REFUSED or name not in SUPPORTED:
        why = REFUSED.get(name, "it is not a sampler of a model with known noise levels")
        raise ValueError(f"PlanScheduler does not run the configuration of {name}: {why}.")
    own = keys_of(name)
    known = own.keys() | {"final_sigmas_type"} | FOREIGN
    guessed = "_class_name" not in told and "_use_default_values" not in told
    for key in [*changes, *(told if guessed else ())]:  # what a converted configuration left behind is left unread
        if key in all_keys() and key not in known:
            raise ValueError(
                f"{key} is no key of {name}, as which this configuration is read; leave it away, or name the class "
                "that it is of: _class_name in the configuration, scheduler=... here."
            )
    values = {**own, **{key: value for key, value in told.items() if not key.startswith("_")}, **changes}
    check(name, values, own)
    return Configuration(name, values, also)


def check(name: str, values: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if key not in all_keys():
            raise ValueError(
                f"the configuration has a key {key!r} = {value!r}, which no scheduler of diffusers "
                f"{diffusers.__version__} knows; leave it away if it means nothing."
            )
        if key in KNOWN and value is not None and value not in KNOWN[key]:
            raise ValueError(f"{key} = {value!r}; known: {', '.join(KNOWN[key])}.")
        if key in own and key in OFF and value not in OFF[key]:
            raise ValueError(f"the configuration has {key} = {value!r}; {REMEDY[key]}.")


def whose(told: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The class, and others that have the same keys in the same order."""
    listed = [key for key in told if key != "_use_default_values" and not key.startswith("_")]
    named = told.get("_class_name")
    if "_use_default_values" in told:  # live: constructor's keys stand before this mark
        before = list(told)[: list(told).index("_use_default_values")]
        own = [key for key in before if not key.startswith("_")]
        fits = [name for name in (*classes(), *WITHOUT) if list(keys_of(name)) == own]
        if fits:
            return (named, ()) if named in fits else _several(fits)
    if isinstance(named, str):
        return named, ()
    fits = [name for name in (*classes(), *WITHOUT) if set(keys_of(name)) == set(listed)]
    if fits:
        return _several(fits)
    if any(key in told for key in ("shift", "use_dynamic_shifting")) and "beta_schedule" not in told:
        return "FlowMatchEulerDiscreteScheduler", ()
    return "DPMSolverMultistepScheduler", ()


def _several(fits: list[str]) -> tuple[str, tuple[str, ...]]:
    """The first that is supported, and those with other methods; a "Parallel" one differs in how it is called alone."""
    fits = sorted({name.replace("Parallel", "") for name in fits}, key=lambda name: (name not in SUPPORTED, name))
    return fits[0], tuple(fits[1:])
