"""An album: one gain for all pieces, the target for the whole, the ceiling for each, no fades."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from click.testing import CliRunner
from tests.signals import pink_noise, silence

import nitido
from nitido.cli import main
from nitido.dsp.loudness import integrated_lufs, true_peak_dbtp
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError

RATE = 48_000
Piece = tuple[Wav, int]


def noise(rms: float, *, seed: int = 0, seconds: float = 4.0) -> Piece:
    return pink_noise(seconds=seconds, channels=2, rms=rms, seed=seed), RATE


@pytest.fixture
def pieces() -> list[Piece]:
    return [noise(0.06), noise(0.02, seed=1), noise(0.04, seed=2, seconds=3.3)]


def lufs(wav: Wav) -> float:
    found = integrated_lufs(wav, sample_rate=RATE)
    assert found is not None
    return found


def test_an_album_has_one_gain_its_balance_and_the_loudness_of_the_preset(
    pieces: list[Piece],
) -> None:
    album = nitido.restore_album(pieces, stages=["loudness"])
    (gain_db,) = {piece.plan["loudness"].settings["gain_db"] for piece in album}
    raised = [lufs(piece.wav) - lufs(wav) for piece, (wav, _) in zip(album, pieces, strict=True)]
    assert raised == pytest.approx([gain_db] * 3, abs=0.05)
    together = np.concatenate([piece.wav for piece in album], axis=1)
    assert lufs(together) == pytest.approx(-14.0, abs=0.1)


def test_each_piece_of_an_album_is_held_under_the_ceiling() -> None:
    loud, _ = noise(0.02)
    loud[:, 90_000:90_050] += 0.5
    album = nitido.restore_album([(loud, RATE), noise(0.03, seed=1)], stages=["loudness"])
    peaks = [true_peak_dbtp(piece.wav, sample_rate=RATE) for piece in album]
    assert max(peak for peak in peaks if peak is not None) == pytest.approx(-1.1, abs=0.1)
    limiting = album[0].plan["loudness"].reason
    assert "one gain for an album of 2" in limiting
    assert "limited to −1 dBTP" in limiting


def test_music_that_runs_on_from_piece_to_piece_still_does() -> None:
    wav, _ = noise(0.05, seconds=6.0)
    cut = 3 * RATE
    album = nitido.restore_album([(wav[:, :cut], RATE), (wav[:, cut:], RATE)])
    steps = [piece.plan["ending"] for piece in album]
    assert [(step.on, step.reason) for step in steps] == [
        (False, "album: its edges are left alone")
    ] * 2
    joined = np.concatenate([piece.wav for piece in album], axis=1)
    assert joined.shape == wav.shape
    around = slice(cut - 480, cut + 480)
    gain = 10 ** (album[0].plan["loudness"].settings["gain_db"] / 20)
    level = np.sqrt(np.mean(joined[:, around] ** 2)) / np.sqrt(np.mean(wav[:, around] ** 2))
    assert level == pytest.approx(gain, rel=0.05)


def test_an_album_of_one_is_as_loud_as_the_piece_alone() -> None:
    (album,) = nitido.restore_album([noise(0.05)], stages=["loudness"])
    alone = nitido.restore(noise(0.05), stages=["loudness"])
    assert np.array_equal(album.wav, alone.wav)


def test_a_silent_piece_stays_silent_and_does_not_count(pieces: list[Piece]) -> None:
    quiet = (silence(seconds=2.0, channels=2), RATE)
    with_it = nitido.restore_album([*pieces, quiet], stages=["loudness"])
    without = nitido.restore_album(pieces, stages=["loudness"])
    assert not with_it[-1].wav.any()
    for one, other in zip(with_it, without, strict=False):
        assert np.array_equal(one.wav, other.wav)


def test_progress_of_an_album_rises_to_its_length(pieces: list[Piece]) -> None:
    told: list[tuple[float, float]] = []
    nitido.restore_album(
        pieces, stages=["loudness"], on_progress=lambda done, total: told.append((done, total))
    )
    done = [one for one, _ in told]
    assert done == sorted(done)
    assert done[-1] == pytest.approx(11.3, abs=0.01)
    assert {round(total, 2) for _, total in told} == {11.3}


def test_an_album_has_one_preset_which_most_of_its_pieces_ask_for() -> None:
    song, like_musicgen = noise(0.05), (pink_noise(seconds=4.0, sample_rate=32_000), 32_000)
    for pieces, name, count in (
        ([song, like_musicgen, song], "song", "2 of the 3"),
        ([like_musicgen, song, like_musicgen], "musicgen", "2 of the 3"),
        ([like_musicgen, song], "song", "1 of the 2"),
    ):
        plans = [piece.plan for piece in nitido.restore_album(pieces)]
        assert {plan.preset for plan in plans} == {name}
        assert {plan.preset_reason for plan in plans} == {f"as {count} pieces of the album ask for"}
    alone = nitido.restore_album([like_musicgen, like_musicgen])
    assert "32 kHz" in alone[0].plan.preset_reason


def test_an_end_that_is_to_stay_is_not_left_to_mend() -> None:
    wav, _ = noise(0.05)
    album = nitido.restore_album([(wav, RATE)])[0]
    kept = nitido.restore(wav, sample_rate=RATE, without=["ending"])
    for piece in (album, kept):
        assert piece.diagnosis["end"].found
        assert not any("left: " in said for said in piece.sentences())


def test_options_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'preset'"):
        nitido.restore_album([noise(0.05)], presett="gentle")
    with pytest.raises(ConfigError, match="needs pieces"):
        nitido.restore_album([])


@pytest.fixture
def folder(pieces: list[Piece], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, (wav, rate) in zip(("1.wav", "2.wav", "3.wav"), pieces, strict=True):
        sf.write(tmp_path / name, wav.T, rate, subtype="FLOAT")
    return tmp_path


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["restore", *arguments])
    return done.exit_code, done.output


def test_the_command_writes_an_album_at_one_gain_with_its_sidecars(
    folder: Path, pieces: list[Piece]
) -> None:
    status, said = run("1.wav", "2.wav", "3.wav", "--album", "-o", "out/{stem}.flac")
    assert status == 0, said
    assert "one gain for an album of 3: raised by" in said
    assert said.count("preset song (nothing in it is MusicGen's).") == 1
    assert "left to mend" not in said
    album = nitido.restore_album(pieces)
    for name, piece in zip("123", album, strict=True):
        written, _ = sf.read(folder / f"out/{name}.flac", always_2d=True)
        assert np.abs(written.T - piece.wav).max() < 2**-22  # 24 bit
        told = json.loads((folder / f"out/{name}.flac.nitido.json").read_text("utf-8"))
        assert told["request"]["album"] is True
        assert nitido.Plan.from_dict(told["plan"]) == piece.plan


def test_a_dry_run_of_an_album_has_its_one_preset_and_leaves_its_edges_alone(folder: Path) -> None:
    sf.write(folder / "1.wav", pink_noise(seconds=2.0, sample_rate=32_000).T, 32_000)
    status, said = run("1.wav", "2.wav", "3.wav", "--album", "--dry-run", "--json")
    assert status == 0
    assert {piece["plan"]["preset"] for piece in json.loads(said)} == {"song"}
    for piece in json.loads(said):
        steps = {step["stage"]: step for step in piece["plan"]["steps"]}
        assert not steps["ending"]["on"]


def test_an_album_is_written_whole_or_not_at_all(folder: Path) -> None:
    (folder / "2.wav").write_bytes(b"no sound")
    status, said = run("1.wav", "2.wav", "3.wav", "--album", "-o", "out/")
    assert status == 1
    assert "2.wav" in said
    assert not list(folder.glob("out/*"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--resume"], "leave out --resume"),
        (["--workers", "2"], "leave out --workers"),
        (["--shard", "1/2"], "leave out --shard"),
        (["-o", "-"], "is a stream"),
    ],
)
def test_what_would_tear_an_album_apart_is_refused(
    folder: Path, arguments: list[str], says: str
) -> None:
    del folder
    status, said = run("1.wav", "2.wav", "--album", *arguments)
    assert status == 2
    assert says in said


def test_pieces_of_an_album_have_one_preset(folder: Path) -> None:
    lines = [
        {"input": "1.wav", "output": "a.wav"},
        {"input": "2.wav", "output": "b.wav", "preset": "gentle"},
    ]
    (folder / "list.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    status, said = run("--manifest", "list.jsonl", "--album")
    assert (status, "same preset" in said) == (2, True)
