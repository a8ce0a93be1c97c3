"""Nothing that is read can become code: looked for in the source itself, by its syntax."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(
    path
    for package in ("farm", "renderer", "trainer", "deploy")
    for path in (ROOT / package).rglob("*.py")
)
MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "code"}
CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "yaml.load",
    "yaml.unsafe_load",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "pandas.read_pickle",
    "torch.jit.load",
    "torch.hub.load",
    "joblib.load",
}


def name_of(node: ast.expr) -> str:
    """os.system of the expression os.system; "" for what is no plain name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return ""


def findings(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            yield str(node.module)
        elif isinstance(node, ast.Call):
            called = name_of(node.func)
            keywords = {
                k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)
            }
            if called in CALLS:
                yield called
            if keywords.get("shell") is True or keywords.get("allow_pickle") is True:
                yield f"{called}(shell or allow_pickle=True)"
            if called.endswith("np.load") and keywords.get("allow_pickle") is not False:
                yield f"{called} without allow_pickle=False"
            if called == "torch.load" and keywords.get("weights_only") is not True:
                yield f"{called} without weights_only=True"
            if called == "torch.save":
                yield called


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_file_turns_data_into_code(path: Path) -> None:
    assert list(findings(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.externals",
        "eval(text)",
        "exec(text)",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
        "np.load(file)",
        "np.load(f, allow_pickle=True)",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "yaml.load(f)",
        "torch.save(x, f)",
    ],
)
def test_what_would_do_so_is_found(source: str) -> None:
    assert list(findings(source))
