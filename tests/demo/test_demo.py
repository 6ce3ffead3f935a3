import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from click.testing import CliRunner
from tests.batch.cases import contents
from tests.signals import noise

import nitido
from nitido.cli import main
from nitido.demo import CUT_SECONDS, DECODER_HZ, QUIET_DB, add_artifacts, make_demo
from nitido.demo.render import render
from nitido.errors import AudioWriteError


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A demo, and what it says in JSON."""
    folder = tmp_path_factory.mktemp("demo")
    result = CliRunner().invoke(main, ["demo", "-o", str(folder), "--json"])
    assert result.exit_code == 0, result.output
    return folder, json.loads(result.stdout)


def test_the_demo_says_where_everything_lies(demo: tuple[Path, dict]) -> None:
    folder, said = demo
    for path in map(Path, said["files"].values()):
        assert path.parent == folder
        assert path.stat().st_size > 10_000


def test_the_demo_s_faults_are_found_and_gone_afterwards(demo: tuple[Path, dict]) -> None:
    _, said = demo
    before, after = (
        {finding["kind"]: finding["severity"] for finding in said[time]["findings"]}
        for time in ("before", "after")
    )
    for kind in ("comb", "bandwidth", "width", "end", "loudness"):
        assert before[kind] != "ok", kind
        assert after[kind] == "ok", kind
    assert len(said["changes"]) >= 3


def test_the_restored_piece_is_stereo_and_as_long(demo: tuple[Path, dict]) -> None:
    folder, _ = demo
    degraded, restored = (sf.info(folder / f"{name}.wav") for name in ("degraded", "restored"))
    assert (degraded.channels, degraded.samplerate) == (1, DECODER_HZ)
    assert (restored.channels, restored.samplerate) == (2, 48_000)
    assert restored.frames == degraded.frames * 3 // 2


def test_spoiling_is_mono_quiet_narrow_and_cut() -> None:
    clean = render(seconds=16.0)
    spoilt = add_artifacts(clean)
    assert spoilt.shape == (1, round(CUT_SECONDS * DECODER_HZ))
    quieter = 20 * np.log10(spoilt.std() / clean[:, : round(CUT_SECONDS * 48_000)].mean(0).std())
    assert quieter == pytest.approx(QUIET_DB, abs=0.5)
    assert np.abs(spoilt[:, -320:]).max() > 0.01  # still sounding


def test_a_demo_is_the_same_every_time() -> None:
    assert np.array_equal(add_artifacts(render(seconds=3.0)), add_artifacts(render(seconds=3.0)))


def test_a_demo_replaces_a_demo_and_nothing_else(demo: tuple[Path, dict], tmp_path: Path) -> None:
    folder, _ = demo
    make_demo(folder)
    (tmp_path / "original.wav").write_bytes(b"mine")
    with pytest.raises(AudioWriteError, match="not of a demo"):
        make_demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["original.wav"]


def test_a_demo_leaves_alone_what_only_bears_its_names(tmp_path: Path) -> None:
    sf.write(tmp_path / "degraded.wav", noise(seconds=1, channels=1).T, 48_000)
    nitido.restore(tmp_path / "degraded.wav").write(tmp_path / "restored.wav")
    before = contents(tmp_path)
    with pytest.raises(AudioWriteError, match=r"degraded\.wav is not of a demo"):
        make_demo(tmp_path)
    assert contents(tmp_path) == before
