"""The versions that are promised are those that `make oldest` runs, and what runs here lies above them."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OLDEST = dict(re.findall(r"^([\w-]+)==([\w.]+)$", (ROOT / "tests" / "oldest.txt").read_text(), flags=re.MULTILINE))
PROMISED = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["data"]]


@pytest.mark.parametrize("requirement", PROMISED)
def test_a_lower_bound_is_a_version_that_is_tested(requirement):
    name, bound = requirement.split(">=")
    assert OLDEST[name] == bound


@pytest.mark.parametrize("requirement", PROJECT["dependencies"])
def test_what_is_installed_lies_above_its_bound(requirement):
    name, bound = requirement.split(">=")
    number = lambda version: [int(part) for part in re.findall(r"\d+", version)[:3]]  # noqa: E731
    assert number(importlib.metadata.version(name)) >= number(bound)


def test_readme_tells_the_bound_of_jax():
    assert f"jax {OLDEST['jax']} to the newest" in (ROOT / "README.md").read_text()
