"""Weights are ONNX and safetensors only: nothing in nitido can run code that it was given."""

import ast
from pathlib import Path

import pytest

import nitido
import nitido_lab

MODULES = sorted(
    path for package in (nitido, nitido_lab) for path in Path(package.__file__).parent.rglob("*.py")
)
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "__import__"),
    *("torch.load", "torch.jit.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load"),
    *("os.system", "os.popen", "subprocess.getoutput", "numpy.loads"),
}


def faults(source: str) -> list[str]:
    """Return what in a module could run code from a file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = {alias.name.partition(".")[0] for alias in node.names}
            found += sorted(names & FORBIDDEN_MODULES)
        elif isinstance(node, ast.ImportFrom):
            found += sorted({(node.module or "").partition(".")[0]} & FORBIDDEN_MODULES)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in FORBIDDEN_CALLS:
                found.append(name)
            for keyword in node.keywords:
                on = not (isinstance(keyword.value, ast.Constant) and not keyword.value.value)
                if keyword.arg in ("trust_remote_code", "allow_pickle", "shell") and on:
                    found.append(keyword.arg)
    return found


def test_nothing_in_nitido_runs_code_from_a_file() -> None:
    wrong = {path.name: found for path in MODULES if (found := faults(path.read_text("utf-8")))}
    assert wrong == {}
    assert len(MODULES) > 100


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "eval(text)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "np.load(path, allow_pickle=yes)",
        "yaml.load(text)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_the_check_sees_what_it_is_for(line: str) -> None:
    assert faults(line) != []


@pytest.mark.parametrize(
    "line",
    ["re.compile(text)", "model.eval()", "np.load(path, allow_pickle=False)", "json.load(f)"],
)
def test_the_check_lets_pass_what_is_harmless(line: str) -> None:
    assert faults(line) == []


def test_no_weights_but_onnx_and_safetensors_are_shipped() -> None:
    package = Path(nitido.__file__).parent
    data = {path.suffix for path in package.rglob("*") if path.is_file()} - {".pyc"}
    assert not data & {".pt", ".pth", ".th", ".pkl", ".bin", ".ckpt", ".npz", ".npy", ".h5", ".so"}
