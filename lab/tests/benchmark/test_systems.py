import pickle
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile as sf
from tests.signals import noise, silence, sine

from nitido.demo.render import render
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError
from nitido_lab.benchmark.clips import SAMPLE_RATE, Case, mono
from nitido_lab.benchmark.systems import (
    DemucsPreset,
    Folder,
    Libsonare,
    MasteringEq,
    MovingMedian,
    Nitido,
    NoiseReduce,
    RandomDemucs,
    Resample,
    chosen_systems,
    default_systems,
    fingerprint,
    read_system,
    shelf,
)


def piece(wav: Wav, sample_rate: int = SAMPLE_RATE, name: str = "song") -> Case:
    return Case(name, wav, sample_rate, mono(wav))


def test_every_system_gives_back_the_same_length_at_48_khz() -> None:
    given = piece(render(seconds=3.0, sample_rate=32_000), 32_000)
    for system in default_systems():
        if system.missing() is None:
            restored = system.restore(given).wav
            assert restored.shape == (2, 3 * SAMPLE_RATE), system.name
            assert restored.dtype == np.float32, system.name


def test_rivals_can_be_sent_to_other_processes() -> None:
    for system in [*default_systems(), Folder("other", Path("x"))]:
        assert pickle.loads(pickle.dumps(system)) == system


def test_libsonare_says_which_stages_ran() -> None:
    pytest.importorskip("libsonare", reason="needs libsonare: pip install -e 'lab[bench]'")
    wav = render(seconds=3.0)
    notes = Libsonare().restore(piece(wav)).notes
    assert notes["repairs"] == len(notes["stages"]) > 0
    alone = Libsonare("repair", None).restore(piece(wav))
    assert alone.notes["stages"] == []
    assert np.array_equal(alone.wav, wav)


def test_resampling_changes_nothing_at_the_same_rate() -> None:
    wav = noise(channels=2)
    assert np.array_equal(Resample().restore(piece(wav)).wav, wav)


def test_nitido_says_what_it_repaired() -> None:
    quiet = render(seconds=6.0) * np.float32(0.1)
    notes = Nitido().restore(piece(quiet)).notes
    assert notes["repairs"] == len(notes["stages"])
    assert "loudness" not in notes["stages"]
    dull = piece(np.asarray(render(seconds=6.0, sample_rate=32_000)[:1]), 32_000)
    assert {"bandwidth", "width"} <= set(Nitido().restore(dull).notes["stages"])


def test_noisereduce_hears_channels_and_not_samples() -> None:
    pytest.importorskip("noisereduce")
    both = np.concatenate([render(seconds=3.0)[:1], silence(seconds=3.0)])
    reduced = NoiseReduce().restore(piece(both)).wav
    alone = NoiseReduce().restore(piece(both[:1])).wav
    assert np.allclose(reduced[0], alone[0], atol=1e-6)
    assert np.abs(reduced[1]).max() < 1e-6
    assert np.abs(reduced[0]).max() > 0.01


@pytest.mark.parametrize(("hz", "gain_db"), [(20.0, 1.5), (1000.0, 0.0), (20_000.0, 3.0)])
def test_the_equaliser_lifts_bass_and_treble(hz: float, gain_db: float) -> None:
    tone = sine(hz, seconds=1.0, amplitude=0.1)
    lifted = MasteringEq().restore(piece(tone)).wav
    middle = slice(SAMPLE_RATE // 4, -SAMPLE_RATE // 4)
    rise_db = 20 * np.log10(np.std(lifted[:, middle]) / np.std(tone[:, middle]))
    assert rise_db == pytest.approx(gain_db, abs=0.15)


def test_the_moving_median_holds_down_what_is_there_for_a_moment() -> None:
    tone, moment = sine(7_000, seconds=2), sine(9_000, seconds=2)
    moment[:, :48_000] = 0
    moment[:, 48_960:] = 0  # 20 ms
    wav = tone + moment
    made = MovingMedian().restore(Case("x", wav, 48_000, wav)).wav
    assert np.std(made - tone) < 0.3 * np.std(moment)
    assert np.std(made[:, 4_000:40_000] - tone[:, 4_000:40_000]) < 1e-3


@pytest.mark.parametrize("high", [False, True])
def test_a_shelf_stands_at_half_its_gain_at_its_corner(high: bool) -> None:
    section = shelf(2000.0, 6.0, sample_rate=SAMPLE_RATE, high=high)
    _, response = scipy.signal.freqz_sos([section], [1.0, 2000.0, 23_999.0], fs=SAMPLE_RATE)
    low, corner, top = 20 * np.log10(np.abs(response))
    assert corner == pytest.approx(3.0, abs=0.01)
    assert (low, top) == pytest.approx((0.0, 6.0) if high else (6.0, 0.0), abs=0.01)


def test_files_of_another_system_are_laid_over_the_piece(tmp_path: Path) -> None:
    wav = render(seconds=3.0, sample_rate=32_000)
    late = np.pad(-wav, ((0, 0), (700, 0)))
    sf.write(tmp_path / "song_restored.wav", late.T, 32_000, subtype="FLOAT")
    system = Folder("other", tmp_path)
    restored = system.restore(piece(wav, 32_000))
    assert restored.notes["lag_samples"] == 700 * 3 // 2
    untouched = Resample().restore(piece(wav, 32_000)).wav
    assert np.abs(restored.wav[:, :100_000] - untouched[:, :100_000]).max() < 1e-3
    with pytest.raises(ConfigError, match="no file for the clip another"):
        system.restore(piece(wav, 32_000, "another"))


def test_a_changed_file_is_another_result(tmp_path: Path) -> None:
    system = Folder("other", tmp_path)
    for seed in (0, 1):
        sf.write(tmp_path / "song.wav", noise(seed=seed).T, SAMPLE_RATE)
        (tmp_path / f"print{seed}").write_text(fingerprint(system, "song"))
    assert (tmp_path / "print0").read_text() != (tmp_path / "print1").read_text()
    assert fingerprint(system, "gone") == "no file"


def test_an_empty_folder_is_no_rival(tmp_path: Path) -> None:
    assert "no audio" in str(Folder("other", tmp_path).missing())
    assert "no folder" in str(Folder("other", tmp_path / "gone").missing())


def test_a_rival_is_named_on_the_command_line() -> None:
    assert read_system("apollo=out/apollo") == Folder("apollo", Path("out/apollo"))
    for text in ("apollo", "=out", "apollo=", "a/b=out", "nitido=out"):
        with pytest.raises(ConfigError):
            read_system(text)


def test_the_founding_pipeline_without_its_weights_is_not_measured_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    pytest.importorskip("demucs")
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda repository, filename: None)
    missing = str(DemucsPreset().missing())
    assert missing.startswith("not measured: the weights of htdemucs")
    assert "hf download adefossez/HTDemucs" in missing


def test_with_random_weights_the_founding_pipeline_is_marked_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("demucs")
    from nitido_lab.benchmark.random_checkpoint import save_random_musicgen

    small = save_random_musicgen(tmp_path, channels=8, bottom_channels=0, t_layers=1, segment=1.0)
    monkeypatch.setattr("nitido_lab.benchmark.systems._random_checkpoint", lambda: small)
    system = RandomDemucs()
    assert "random weights" in system.name
    assert system.restore(piece(render(seconds=1.0))).wav.shape == (2, SAMPLE_RATE)


def test_of_our_systems_only_some_can_be_asked_beside_nitido_and_doing_nothing() -> None:
    names = [system.name for system in chosen_systems(["treble-cut", "nitido"])]
    assert names == ["nitido", "resample", "treble-cut"]
    assert chosen_systems() == default_systems()
    with pytest.raises(ConfigError, match="no system 'trebel'"):
        chosen_systems(["trebel"])
