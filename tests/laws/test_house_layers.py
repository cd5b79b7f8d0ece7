"""The house: arrows go down only, files and functions stay short, and importing costs nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "duhamel").rglob("*.py"))
NUMPY_ONLY = [
    *(
        f"duhamel.rows.{name}"
        for name in ("pattern", "step", "plan", "canonical", "checks", "greedy", "io", "show", "run_torch")
    ),
    *(f"duhamel.core.{name}" for name in ("phi", "quadrature", "grid", "status")),
    "duhamel.diffusion.schedule",
    "duhamel.diffusion.plans",
    "duhamel.methods.tableaux",
    "duhamel.report",
    "duhamel.papers.card",
    "duhamel.papers.registry",
    "duhamel.cli",
    "duhamel.torch",
    "duhamel",
]


def test_arrows_go_down_only():
    """The import-linter contracts of pyproject.toml hold."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 kept, 0 broken" in done.stdout


@pytest.mark.parametrize("module", NUMPY_ONLY)
def test_module_imports_without_jax(module):
    """Plans serve PyTorch users, and `duhamel --help` must be quick: neither may import JAX."""
    code = f"import sys, {module}; print(*sorted({{'jax', 'equinox', 'torch', 'matplotlib'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) <= ({"torch"} if module == "duhamel.torch" else set())


def _is_table(path: Path) -> bool:
    return "tableaux" in path.parts


@pytest.mark.parametrize("path", [p for p in SOURCES if not _is_table(p)], ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_are_short(path):
    """Below 450 lines a file and 60 lines of code a function, tables of numbers exempt."""
    text = path.read_text()
    assert text.count("\n") <= 450, "split the file"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1 - _docstring_lines(node)
            assert lines <= 60, f"{node.name} has {lines} lines of code; split it"


def _docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    is_doc = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return first.end_lineno - first.lineno + 1 if is_doc else 0
