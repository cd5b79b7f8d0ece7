"""A model's weights as one safetensors file, with the command that made them."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from duhamel.core.files import readable, whole


def names(model: Any) -> dict[str, Any]:
    """The floating-point arrays of a model by path, such as "network.blocks[0].up.weight"."""
    leaves = jax.tree_util.tree_leaves_with_path(model)
    return {jax.tree_util.keystr(path).lstrip("."): x for path, x in leaves if hasattr(x, "dtype")}


def write(path: Path | str, model: Any, dtype: Any = np.float16, **metadata: str) -> None:
    """float16 keeps 11 bits: half the size of float32, and a change in a denoiser's answer of order 1e-3."""
    arrays = {name: np.ascontiguousarray(np.asarray(x), dtype) for name, x in names(model).items()}
    with whole(path) as draft:
        save_file(arrays, draft, metadata=metadata)
        draft.chmod(0o644)  # safetensors leaves it readable by its owner alone


def read(path: Path | str, like: Any, dtype: Any = jnp.float32) -> Any:
    """The model with the structure of `like` (arrays, or `ShapeDtypeStruct`s from `eqx.filter_eval_shape`)."""
    wanted = names(like)
    try:
        with safe_open(readable(path), framework="numpy") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise ValueError(f"there is no weight file {path}; train one first, or give the right path.") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a readable safetensors file ({error}); fetch or train it again.") from None
    for name in {**wanted, **found}:
        here, there = [tuple(d[name].shape) if name in d else "absent" for d in (wanted, found)]
        if here != there:
            raise ValueError(f"{path} holds another model: {name} is {there} there and {here} here.")
    leaves, treedef = jax.tree_util.tree_flatten_with_path(like)
    return treedef.unflatten(
        [
            jnp.asarray(found[jax.tree_util.keystr(p).lstrip(".")], dtype) if hasattr(x, "dtype") else x
            for p, x in leaves
        ]
    )


def metadata(path: Path | str) -> dict[str, str]:
    """What `write` recorded: the command, the steps, the measured loss."""
    with safe_open(path, framework="numpy") as file:
        return file.metadata() or {}
