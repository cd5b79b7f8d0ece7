"""Plans for PyTorch users. Nothing here imports JAX, and PyTorch itself is only touched through your tensors.

from duhamel.torch import build
plan = build("dpmpp-2m", schedule, steps=10)
with torch.no_grad():
    x = plan.run_torch(model, x)            # model(tau, x) returns what plan.prediction says
"""

from typing import Any

from .core.extras import missing as _missing
from .rows.plan import Plan as Plan, compose as compose
from .rows.run_torch import run_torch as run_torch

load = Plan.load


def build(name: str, *args: Any, **options: Any) -> Plan:
    """The plan of a sampler by the name papers use; see `diffusion.plans.registry.build`."""
    from .diffusion.plans.registry import build

    return build(name, *args, **options)


def __getattr__(name: str) -> Any:
    """`PlanScheduler`, for diffusers' pipelines, is loaded when it is asked for: only it needs diffusers."""
    if name != "PlanScheduler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}.")
    try:
        from .diffusion.scheduler import PlanScheduler
    except ImportError as error:
        raise _missing("PlanScheduler", f"diffusers ({error})", "torch") from error
    return PlanScheduler
