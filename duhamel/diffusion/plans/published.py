"""Tables that others have found and published, read as plans. NumPy only (files of PyTorch need PyTorch).

USF / S3      a dict of one decision a step (github.com/thu-nics/USF, `solver_schedules/*.pth`)
NeuralSolver  `timedeltas` and a triangle `coeffs` (github.com/MCG-NJU/NeuralSolver, `ns_sampling.py`)
"""

import codecs
import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from duhamel.core.extras import missing
from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.plan import Plan, Segment

from ..schedule import Schedule
from .multistep import describe
from .usf import Decision, Taylor, usf

USF_KEYS = ("timesteps", "orders", "prediction_types", "start_points", "derivative_types", "corrector_types")
PREDICTIONS = {"data_prediction": "data", "noise_prediction": "noise"}
FIRST = {"no_afs": "model", "zero_x0": "zero", "average_x0": "mean"}
RELAX = {"dpmsolver-2": "bh2", "unipc-bh1": "bh1", "unipc-bh2": "bh2", "0.5exp": "half", "-0.5exp": "minus-half"}


def read_usf(source: str | Path | Mapping[str, Any], schedule: Schedule) -> Plan:
    """The plan of a published solver schedule, a .pth file or the dict in it, on the schedule of its model.

    Their times are ours: sigma for EDM's network, t in (0, 1] for VP. The first value of most is no evaluation:
    "zero_x0" takes D = 0 there, "average_x0" wants run(consts={"mean": ...}). Steps of DPM-Solver-v3 need statistics of
    the model that the file does not hold: refused. Skip coefficients belong to a U-Net and are kept in `info`.
    """
    facts = source if isinstance(source, Mapping) else _unpickle(Path(source))
    missing = [key for key in USF_KEYS if key not in facts]
    if missing:
        raise ValueError(f"not a solver schedule of USF: it lacks {', '.join(missing)}.")
    ts = np.asarray([float(t) for t in facts["timesteps"]])
    steps = len(ts) - 1
    short = [key for key in USF_KEYS[1:] if len(facts[key]) != steps]
    if short:
        raise ValueError(f"{short[0]} has {len(facts[short[0]])} entries for {steps} steps; the file is damaged.")
    first = str(facts.get("afs", "no_afs"))
    if first not in FIRST:
        raise ValueError(f"afs = {first!r} is not known; known: {', '.join(FIRST)}.")
    plan = usf(schedule, ts, [_decision(facts, n) for n in range(steps)], first=FIRST[first])
    skips = [float(c) for c in facts.get("skip_coefficients", ())]
    more = {"source": "USF", "skip_coefficients": skips} if any(c != 1 for c in skips) else {"source": "USF"}
    return Plan("usf-published", plan.segments, plan.t, plan.prediction, {**plan.info, **more})


def _unpickle(path: Path) -> Mapping[str, Any]:
    """Tensors and numbers only: a pickle that wants to run anything else is refused."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no solver schedule at {str(path)!r}.")
    try:
        import torch
    except ImportError:
        raise missing("a solver schedule, which is a file of PyTorch,", "torch", "torch") from None
    scalar = np.float64(0).__reduce__()[0]  # NumPy numbers: under their old name, in files of NumPy 1
    allowed: list[Any] = [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, codecs.encode]
    allowed += [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64)]
    try:
        with torch.serialization.safe_globals(allowed):
            load: Any = torch.load
            found = load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        why = str(error).split(".")[0].split("\n")[0] or type(error).__name__
        raise ValueError(f"{str(path)!r} is not a solver schedule, or is damaged ({why}).") from None
    if isinstance(found, list) and found:  # [schedule, its score]
        found = found[0]
    if not isinstance(found, Mapping):
        raise ValueError(f"{str(path)!r} holds a {type(found).__name__}; a solver schedule is a dict.")
    return found


def _decision(facts: Mapping[str, Any], n: int) -> Decision:
    prediction = facts["prediction_types"][n]
    if prediction not in PREDICTIONS:
        raise ValueError(
            f"step {n} predicts {prediction!r}, which needs statistics of the model that a schedule does not hold; "
            "steps of noise and data prediction can be read."
        )
    start, correct = facts["start_points"][n], facts["corrector_types"][n]
    if start != -1:
        raise ValueError(
            f"step {n} starts {-start} states back; only schedules whose steps follow each other are read."
        )
    series = None
    if correct["type"] == "pseudo":
        series = _series(correct["taylor_order"], correct["derivative_type"], correct["start_point"])
    elif correct["type"] != "no_corrector":
        raise ValueError(f"step {n} has a corrector {correct['type']!r}; known: 'pseudo' and 'no_corrector'.")
    predict = _series(facts["orders"][n], facts["derivative_types"][n], start)
    return Decision(PREDICTIONS[prediction], predict, series)


def _series(order: Any, derivatives: Sequence[Mapping[str, Any]], start: int) -> Taylor:
    """Their points count back from the newest value; ours from the start of the step."""
    used = list(derivatives)[: int(order) - 1]
    points = tuple(tuple(start - int(p) for p in d["active_points"]) for d in used)
    kind = used[0].get("relaxation") if used else None
    if kind in (None, "no_relaxation"):
        return Taylor(int(order), points)
    if kind == "linear":
        return Taylor(int(order), points, float(used[0].get("relaxation_coefficient", 0.0)))
    if kind not in RELAX:
        raise ValueError(f"relaxation {kind!r} is not known; known: linear, {', '.join(RELAX)}.")
    return Taylor(int(order), points, RELAX[kind])


def read_neural_solver(source: str | Path | Mapping[str, Any], schedule: Schedule) -> Plan:
    """NeuralSolver (Wang et al., arXiv 2505.21114): x += dt (sum_(j<i) c_ij F_j + (1 - sum_j c_ij) F_i)

    source    a JSON file, or a dict, with `timedeltas` (steps,) and `coeffs` (steps, steps)
    schedule  Flow(): the table is one for velocities, along t from noise to data. Any other: one for the data, with
              x/sigma along alpha/sigma and times that fall from 0.999
    The data form steps in alpha/sigma, in which DDIM is Euler's method; the published loop makes each of its steps
    twice, this plan once.
    """
    if isinstance(source, Mapping):
        facts = source
    else:
        try:
            facts = json.loads(Path(source).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{str(source)!r} is not a table of NeuralSolver in JSON ({error}).") from None
    if not isinstance(facts, Mapping) or not {"timedeltas", "coeffs"} <= set(facts):
        raise ValueError("a table of NeuralSolver has `timedeltas` and `coeffs`.")
    h, c = np.asarray(facts["timedeltas"], np.float64), np.asarray(facts["coeffs"], np.float64)
    if h.ndim != 1 or c.shape != (len(h), len(h)) or np.any(h <= 0) or np.any(np.triu(c) != 0):
        raise ValueError(
            f"timedeltas of shape {h.shape} and coeffs of shape {c.shape}: give positive steps and a strictly lower "
            "triangle of as many rows."
        )
    c = c + np.diag(1 - c.sum(axis=1))
    is_flow = type(schedule).__name__ == "Flow"
    begin = 1.0 if is_flow else 0.999
    ts = np.append(begin, begin - np.cumsum(h))
    if is_flow:
        ts[np.abs(ts) < 2e-3] = 0.0  # published to four digits
        carries, w = np.ones(len(h)), -h[:, None] * c  # our flow is eps - D
    else:
        if not np.all(ts > 0):
            raise ValueError(f"the steps of the table end at t = {ts[-1]:.4g}; they must stay above 0.")
        sigma, snr = schedule.sigma(ts), 1 / schedule.rho(ts)
        carries, w = sigma[1:] / sigma[:-1], (sigma[1:] * np.diff(snr))[:, None] * c
    info = describe(schedule) | {"source": "NeuralSolver"}
    return Plan("neural-solver", (_dense(ts, carries, w),), ts, "flow" if is_flow else "data", info)


def _dense(ts: np.ndarray, carries: np.ndarray, w: np.ndarray) -> Segment:
    """x <- carry x + sum_(j <= n) w[n, j] F_j, where every value is kept."""
    steps = len(carries)
    names = ["F", *(f"F{j}" for j in range(1, steps))]
    back = np.zeros((steps, steps))  # by steps back
    for n in range(steps):
        back[n, : n + 1] = w[n, n::-1]
    rows = (Row("y", ("x",), call="F"), Row("x_next", (*names[::-1], "x")))
    pattern = Pattern(rows, (("x", "x_next"), *zip(names[1:], names, strict=False)))
    return Segment(pattern, (np.ones(1), *back.T[::-1], carries), ts[:-1, None])
