"""Packages beyond the core: asked for before work begins, with the one line that installs them.

`duhamel` is not on a package index: it is installed from a clone, and so are its extras.
"""

import shlex
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]


def install(extra: str) -> str:
    """The line that installs an extra, from anywhere where the package lies in its clone."""
    if (ROOT / "pyproject.toml").is_file():
        return f"python -m pip install -e {shlex.quote(f'{ROOT}[{extra}]')}"
    return f"python -m pip install '.[{extra}]' in your clone of duhamel"


def missing(what: str, packages: str, extra: str) -> ModuleNotFoundError:
    """The sentence: what needs which packages, and the line. To be raised."""
    return ModuleNotFoundError(f"{what} needs {packages}, not installed here: {install(extra)}")


def need(what: str, packages: Iterable[str], extra: str) -> None:
    """Raise that sentence when one of the packages (by the names they are imported by) is not there."""
    absent = [name for name in packages if find_spec(name) is None]
    if absent:
        raise missing(what, " and ".join(NAMES.get(name, name) for name in absent), extra)


NAMES = {"sklearn": "scikit-learn", "skfem": "scikit-fem"}
