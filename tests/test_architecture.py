"""The house: imports go one way, nothing heavy is loaded early, every command explains itself."""

import ast
import os
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import click
import pytest
import soundfile
from click.testing import CliRunner
from tests.signals import noise

import nitido
from nitido.cli import main
from nitido.demo.comb import add_comb

SOURCE = Path(nitido.__file__).parent
# Lowest first. A module may import from its own place and from those below, nowhere else.
LAYERS = (
    ("errors", "version"),
    ("formats", "notebook", "optional"),
    ("c_stderr", "cores", "lock"),
    ("dsp",),
    ("audio", "weights"),
    ("diagnosis", "separation"),
    ("metrics",),
    ("restoration", "presets"),
    ("report",),
    ("result_files",),
    ("output",),
    ("restored",),
    ("generation",),
    ("comparison", "delivery_check"),
    ("api",),
    ("batch", "demo", "doctor"),
    ("mcp_server", "web"),
    ("cli",),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
HEAVY = ("numpy", "scipy", "soundfile", "soxr", "matplotlib", "rich", "tinytag")
# What takes longer to load than a short clip takes to restore, unless it is asked for.
SLOW = (
    *("scipy", "matplotlib", "onnxruntime", "rich", "jinja2", "PIL"),
    *("numpy.ma", "numpy.f2py", "multiprocessing", "zipfile"),
)
NEURAL = (["generation"], ["separation"])  # packages whose files may import torch


def modules() -> dict[str, ast.Module]:
    """Every module of nitido, by its dotted name."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        found[name] = ast.parse(path.read_text("utf-8"))
    return found


MODULES = modules()


def imported(tree: ast.AST) -> set[str]:
    """The modules of nitido that a module imports: as it is loaded, later, or for types alone."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            deeper = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= (deeper & set(MODULES)) or {node.module}
    return {name for name in names if name in MODULES and name != "nitido"}


def place(module: str) -> str:
    """The package, or the module beside the packages, that a module is or lies in."""
    return module.split(".")[1]


def layer(module: str) -> int:
    return LEVEL[place(module)]


def test_every_module_has_its_place_in_the_house() -> None:
    tops = {name.split(".")[1] for name in MODULES if "." in name}
    assert tops == set(LEVEL)


def test_imports_go_one_way() -> None:
    upwards = [
        f"{name} imports {other}"
        for name, tree in MODULES.items()
        if name != "nitido"
        for other in imported(tree)
        if layer(other) >= layer(name) and place(other) != place(name)
    ]
    assert upwards == []


def test_nothing_in_nitido_needs_the_lab() -> None:
    assert [path for path in SOURCE.rglob("*.py") if "nitido_lab" in path.read_text("utf-8")] == []


def test_no_imports_go_round_in_circles() -> None:
    try:
        TopologicalSorter({name: imported(tree) for name, tree in MODULES.items()}).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_all_lists_are_sorted() -> None:
    for name, tree in MODULES.items():
        for node in tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                names = ast.literal_eval(node.value)
                # Constants, classes, functions, each in order: as ruff sorts them.
                order = sorted(names, key=lambda n: (not n.isupper(), not n[0].isupper(), n))
                assert names in (order, sorted(names)), name


def test_only_the_command_line_prints_or_exits() -> None:
    loud = [
        f"{name}: {ast.unparse(node)}"
        for name, tree in MODULES.items()
        if not name.startswith("nitido.cli")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"print", "sys.exit", "exit"}
    ]
    assert loud == []


@pytest.mark.parametrize(
    "start", ["import nitido", "from nitido.cli import main; main(['--help'])"]
)
def test_nothing_heavy_is_loaded_before_it_is_used(start: str) -> None:
    program = (
        f"import sys\ntry:\n    {start}\nexcept SystemExit:\n    pass\n"
        f"sys.exit(' '.join(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.strip() == ""


@pytest.mark.parametrize("command", ["diagnose", "restore"])
def test_a_short_clip_is_done_before_a_heavy_library_would_be_loaded(
    command: str, tmp_path: Path
) -> None:
    place = tmp_path / "clip.wav"
    faulty = add_comb(noise(seconds=2, sample_rate=32_000), sample_rate=32_000)
    soundfile.write(place, faulty.T, 32_000)
    program = (
        "import sys\nfrom nitido.cli import main\n"
        f"main([{command!r}, {str(place)!r}, '--json'], standalone_mode=False)\n"
        f"sys.exit(' '.join(set({SLOW!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.strip() == ""


@pytest.mark.parametrize("told", [None, "3"])
def test_the_command_line_has_numpy_start_no_threads_unless_told(told: str | None) -> None:
    program = (
        "import os, sys\nfrom nitido.cli import main\ntry:\n    main(['stages'])\n"
        "except SystemExit:\n    sys.exit(os.environ['OPENBLAS_NUM_THREADS'])"
    )
    name = "OPENBLAS_NUM_THREADS"
    known = {key: value for key, value in os.environ.items() if key != name}
    known |= {name: told} if told else {}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=known
    )
    assert done.stderr.strip() == (told or "1")


@pytest.mark.parametrize("package", ["dsp", "diagnosis", "restoration"])
def test_no_finding_and_no_stage_brings_scipy(package: str) -> None:
    for name, tree in MODULES.items():
        if name.split(".")[1:2] == [package]:
            for node in ast.walk(tree):
                module = getattr(node, "module", None) if isinstance(node, ast.ImportFrom) else None
                names = [alias.name for alias in getattr(node, "names", [])]
                assert not any(one.startswith("scipy") for one in (module or "", *names)), name


def test_restoring_needs_no_torch_and_no_librosa() -> None:
    trees = [tree for name, tree in MODULES.items() if name.split(".")[1:2] not in NEURAL]
    names = {
        alias.name.split(".")[0]
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {
        (node.module or "").split(".")[0]
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
    }
    assert not names & {"torch", "torchaudio", "torchcodec", "librosa", "transformers"}


def commands(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The paths of all commands, the top one included."""
    found = [path]
    for name, inner in getattr(command, "commands", {}).items():
        found += commands(inner, (*path, name))
    return found


@pytest.mark.parametrize("path", commands(main), ids=" ".join)
def test_every_help_teaches_with_an_example(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, [*path, "--help"])
    assert result.exit_code == 0
    _, _, examples = result.stdout.partition("Examples:")
    assert f"nitido {' '.join(path)}".strip() in examples
