"""Which plan a configuration of diffusers means by itself, and what its keys mean to a plan that the user names.

solver_order, lower_order_final, euler_at_final, solver_type, algorithm_type, predict_x0, variance_type, ...
"""

from inspect import signature
from typing import Any

from ..plans.registry import find
from .configuration import Configuration

FEW = 15  # diffusers lowers the order of the last steps below as many
Method = tuple[str, dict[str, Any]]
BY_ORDER = ("unipc", "unip")  # whose `order` counts values, as solver_order does


def options_of(name: str, c: Configuration | None, steps: int) -> dict[str, Any]:
    """What the configuration says of a plan that was named: its order, and lower orders in the last steps.

    Where it says nothing of those, orders are lowered below 15 steps, as diffusers does by default.
    """
    out: dict[str, Any] = {}
    takes = signature(find(name).make).parameters
    if c is not None and name in BY_ORDER and c.get("solver_order") is not None:
        out["order"] = int(c.get("solver_order"))
    if "lower_final" in takes:
        lowered = True if c is None else bool(c.get("lower_order_final", True))
        out["lower_final"] = lowered and (steps < FEW or name in BY_ORDER)
        if not out["lower_final"] and c is not None and c.get("euler_at_final"):
            out["lower_final"] = 1
    if name == "predictor-corrector" and c is not None and c.get("snr") is not None:
        out |= {"snr": float(c.get("snr")), "corrections": int(c.get("correct_steps", 1))}
    return out


def own(c: Configuration, steps: int) -> Method:
    """The plan that does what the configuration's own scheduler does, number for number; ValueError: there is none."""
    if c.also:
        raise ValueError(
            f"a configuration with these keys may be that of {' or '.join((c.name, *c.also))}, whose methods differ; "
            "pass plan=..., or the scheduler itself in place of its configuration."
        )
    rule = _OWN.get(c.name)
    if rule is None:
        raise ValueError(f"no plan does what {c.name} does; pass plan=..., such as plan='dpmpp-2m'.")
    return rule(c, steps)


def _lowered(c: Configuration, steps: int, few: int = FEW) -> bool | int:
    if c.get("lower_order_final", True) and steps < few:
        return True
    return 1 if c.get("euler_at_final") else False


def _dpm(c: Configuration, steps: int) -> Method:
    order, kind = int(c.get("solver_order", 2)), c.get("algorithm_type", "dpmsolver++")
    lowered, exact = _lowered(c, steps), c.get("solver_type") == "heun"
    noisy = str(kind).startswith("sde-")
    if c.name == "CosineDPMSolverMultistepScheduler":
        kind, noisy = "sde-dpmsolver++", True
    if kind not in ("dpmsolver++", "sde-dpmsolver++", "dpmsolver", "deis"):
        raise ValueError(f"algorithm_type = {kind!r} is no plan; pass plan='sde-dpmpp-2m', its data form.")
    if kind == "dpmsolver":
        if order > 2:
            raise ValueError(
                f"algorithm_type = 'dpmsolver' of solver_order = {order} has half of its second derivative in "
                "diffusers; pass plan='unip', options={'order': 3, 'prediction': 'noise'} for the method itself."
            )
        variant = "vary" if exact else "bh2"
        return "unip", {"order": order, "prediction": "noise", "variant": variant, "lower_final": lowered}
    if order == 1:
        return ("sa-solver", {"order": 1, "corrector_order": 0}) if noisy else ("ddim", {})
    if order == 3:
        if noisy:
            raise ValueError(
                "solver_order = 3 of 'sde-dpmsolver++' has a wrong sign in diffusers; pass plan='sde-dpmpp-3m'."
            )
        return "dpmpp-3m-as-shipped", {"lower_final": lowered}
    if exact:
        if noisy:
            raise ValueError(
                "solver_type = 'heun' of 'sde-dpmsolver++' is no plan; pass plan='sde-dpmpp-2m', its midpoint."
            )
        return "unip", {"order": 2, "variant": "vary", "lower_final": lowered}
    return ("sde-dpmpp-2m" if noisy else "dpmpp-2m"), {"lower_final": lowered}


def _unipc(c: Configuration, steps: int) -> Method:
    options = {
        "order": int(c.get("solver_order", 2)),
        "prediction": "data" if c.get("predict_x0", True) else "noise",
        "variant": c.get("solver_type") if c.get("solver_type") in ("bh1", "bh2") else "bh2",
        "lower_final": bool(c.get("lower_order_final", True)),
    }
    return "unipc", options


def _deis(c: Configuration, steps: int) -> Method:
    """Its noise is a polynomial in log rho, integrated exactly: UniP's, by another name."""
    options = {"order": int(c.get("solver_order", 2)), "prediction": "noise", "variant": "vary"}
    return "unip", options | {"lower_final": _lowered(c, steps)}


def _ddpm(c: Configuration, steps: int) -> Method:
    kind = c.get("variance_type", "fixed_small")
    if kind in ("fixed_small", "fixed_small_log"):
        return "ddim", {"eta": 1.0}
    if kind in ("fixed_large", "fixed_large_log"):
        return "ancestral", {"variance": "forward"}
    raise ValueError(
        f"variance_type = {kind!r}: noise by a network's own variance is no plan; pass plan='ddim', or another."
    )


def _flow_euler(c: Configuration, steps: int) -> Method:
    return ("consistency", {}) if c.get("stochastic_sampling") else ("flow-euler", {})


_OWN = {
    "DPMSolverMultistepScheduler": _dpm,
    "EDMDPMSolverMultistepScheduler": _dpm,
    "CosineDPMSolverMultistepScheduler": _dpm,
    "UniPCMultistepScheduler": _unipc,
    "DEISMultistepScheduler": _deis,
    "DDIMScheduler": lambda c, steps: ("ddim", {}),
    "DDIMParallelScheduler": lambda c, steps: ("ddim", {}),
    "CogVideoXDDIMScheduler": lambda c, steps: ("ddim", {}),
    "DDPMScheduler": _ddpm,
    "DDPMParallelScheduler": _ddpm,
    "EulerDiscreteScheduler": lambda c, steps: ("ddim", {}),
    "EDMEulerScheduler": lambda c, steps: ("ddim", {}),
    "EulerAncestralDiscreteScheduler": lambda c, steps: ("ddim", {"eta": 1.0}),
    "HeunDiscreteScheduler": lambda c, steps: ("heun", {}),
    "LMSDiscreteScheduler": lambda c, steps: ("deis-rho-ab", {"order": 3}),
    "KDPM2DiscreteScheduler": lambda c, steps: ("dpm-solver", {"order": 2}),
    "FlowMatchEulerDiscreteScheduler": _flow_euler,
    "FlowMatchLCMScheduler": lambda c, steps: ("consistency", {}),
    "ScoreSdeVeScheduler": lambda c, steps: (
        "predictor-corrector",
        {"snr": float(c.get("snr")), "corrections": int(c.get("correct_steps"))},
    ),
}
