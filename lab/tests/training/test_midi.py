import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from nitido.errors import ConfigError, MissingExtraError
from nitido_lab.training.midi import DRUMS, KITS, random_piece, render_midi, soundfont_of

mido = pytest.importorskip("mido")
SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")


def test_random_pieces_differ_by_seed_and_repeat_by_seed(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.mid" for name in ("a", "b", "c")]
    for path, seed in zip(paths, (1, 1, 2), strict=True):
        random_piece(path, seed=seed, seconds=10)
    one, same, other = (path.read_bytes() for path in paths)
    assert one == same
    assert one != other


def test_random_pieces_are_for_a_band_or_for_one_instrument_and_as_long_as_wanted(
    tmp_path: Path,
) -> None:
    played = []
    for seed in range(12):
        random_piece(tmp_path / "p.mid", seed=seed, seconds=20)
        song = mido.MidiFile(tmp_path / "p.mid")
        assert 10 < song.length < 25
        played.append(len({m.channel for m in song if m.type == "note_on" and m.velocity}))
    assert min(played) == 1
    assert max(played) >= 3


def test_random_pieces_are_soft_and_loud(tmp_path: Path) -> None:
    loud = []
    for seed in range(12):
        random_piece(tmp_path / "p.mid", seed=seed, seconds=10)
        notes = [m for m in mido.MidiFile(tmp_path / "p.mid") if m.type == "note_on" and m.velocity]
        loud.append(np.mean([note.velocity for note in notes]))
    assert min(loud) < 60
    assert max(loud) > 90


@pytest.mark.skipif(
    shutil.which("fluidsynth") is None or not SOUNDFONT.is_file(), reason="no FluidSynth here"
)
def test_a_note_that_never_ends_does_not_ring_for_ever(tmp_path: Path) -> None:
    track = mido.MidiTrack()
    track.append(mido.Message("program_change", program=16))
    track.append(mido.Message("note_on", note=60, velocity=100, time=0))
    track.append(mido.Message("note_off", note=60, time=480 * 60))
    mido.MidiFile(tracks=[track]).save(tmp_path / "organ.mid")
    render_midi(tmp_path / "organ.mid", tmp_path / "organ.wav", soundfont=SOUNDFONT, seconds=2.0)
    wav, rate = sf.read(tmp_path / "organ.wav")
    assert rate == 48_000
    assert np.abs(wav[rate : 2 * rate]).max() > 0.01
    assert len(wav) < 6 * rate


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/fluidsynth")
    for missing, remedy in (
        ("FluidR3_GM.sf2", "apt install fluid-soundfont-gm"),
        ("x.sf2", "name one that is there in soundfonts"),
    ):
        wanted = tmp_path / missing
        with pytest.raises(ConfigError, match=remedy):
            render_midi(tmp_path / "a.mid", tmp_path / "a.wav", soundfont=wanted, seconds=1)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(MissingExtraError, match="apt install fluidsynth"):
        render_midi(tmp_path / "a.mid", tmp_path / "a.wav", soundfont=SOUNDFONT, seconds=1)


def test_every_soundfont_plays_its_part_and_a_piece_keeps_its_own() -> None:
    orchestras = ("one.sf2", "two.sf2", "three.sf2")
    chosen = [soundfont_of(f"random-{number}", orchestras).name for number in range(60)]
    assert min(chosen.count(name) for name in orchestras) >= 10
    assert chosen == [soundfont_of(f"random-{number}", orchestras).name for number in range(60)]
    with pytest.raises(ConfigError, match="at least one in soundfonts"):
        soundfont_of("random-1", ())


def test_bands_play_on_different_kits(tmp_path: Path) -> None:
    kits = set()
    for seed in range(24):
        path = tmp_path / f"{seed}.mid"
        random_piece(path, seed=seed, seconds=4.0)
        kits |= {
            message.program
            for message in mido.MidiFile(path)
            if message.type == "program_change" and message.channel == DRUMS
        }
    assert len(kits) >= 4
    assert kits <= set(KITS)
