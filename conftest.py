"""What `pytest` collects: what a change needs at hand; `--all`: every test; `--slow`: the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent
# The lab, and what needs a browser, a server, Ray, networks, encoders, librosa, pictures, processes
# of its own, or minutes of real clips.
SLOW = (
    "lab/src",
    "lab/tests",
    "src/nitido/web",
    "tests/batch",
    "tests/demo",
    "tests/generation",
    "tests/hostile/test_fuzz.py",
    "tests/hostile/test_validation.py",
    "tests/integrations",
    "tests/metrics",
    "tests/report/test_figures.py",
    "tests/report/test_listening.py",
    "tests/report/test_listening_in_browser.py",
    "tests/report/test_page.py",
    "tests/report/test_page_in_browser.py",
    "tests/restoration/stages/test_stems.py",
    "tests/restoration/test_album.py",
    "tests/restoration/test_demucs_preset.py",
    "tests/restoration/test_headroom.py",
    "tests/restoration/test_loop.py",
    "tests/restoration/treble/test_learned.py",
    "tests/separation",
    "tests/test_check.py",
    "tests/test_cli_generate.py",
    "tests/test_cli_stems.py",
    "tests/test_comparison.py",
    "tests/test_examples.py",
    "tests/test_mcp_server.py",
    "tests/test_promise.py",
    "tests/test_readme_types.py",
    "tests/web/test_api.py",
    "tests/web/test_page_in_browser.py",
    "tests/web/test_server.py",
    "tests/web/test_work.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--all` and `--slow`."""
    parser.addoption("--all", action="store_true", help="also the tests that are slow to run")
    parser.addoption("--slow", action="store_true", help="only those that are slow to run")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what is slow, unless it is asked for, all of it or by its name."""
    asked = [
        Path(argument.partition("::")[0]).resolve() for argument in config.invocation_params.args
    ]
    named = any((ROOT / slow) in (place, *place.parents) for place in asked for slow in SLOW)
    if config.getoption("all") or named or not collection_path.is_relative_to(ROOT):
        return None
    if config.getoption("slow"):
        slow = any((ROOT / one) in (collection_path, *collection_path.parents) for one in SLOW)
        return True if collection_path.is_file() and not slow else None
    place = collection_path.relative_to(ROOT).as_posix()
    return True if place in SLOW else None
