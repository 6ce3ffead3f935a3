from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from tests.signals import noise

from nitido.demo.comb import add_comb
from nitido.demo.render import render
from nitido.dsp.spectral import lower_ceiling
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError
from nitido_lab.benchmark.clips import (
    SAMPLE_RATE,
    Case,
    excerpt_of,
    faded,
    index_rows,
    mono,
    read,
    spread,
)
from nitido_lab.benchmark.tasks import TASKS, BenchmarkTask, judge, level_matched
from nitido_lab.degradation import PLANTED, plant


@pytest.fixture(scope="module")
def music() -> Wav:
    return render(seconds=5.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, music: Wav) -> Path:
    """Clips: two of music at 48 kHz, one at 16 kHz."""
    place = tmp_path_factory.mktemp("clips")
    for name, rate in (("one", 48_000), ("two", 48_000), ("low", 16_000)):
        sf.write(place / f"{name}.wav", music[:, ::3].T if rate == 16_000 else music.T, rate)
    return place


def figures(task: BenchmarkTask, piece: Case, wav: Wav) -> dict[str, float]:
    found = judge(task, piece, wav)
    return {name: value for name, value in found.items() if value is not None}


def same(music: Wav) -> Case:
    return Case("song", music, SAMPLE_RATE, mono(music), {"ceiling_hz": 12_000.0})


@pytest.mark.parametrize("name", ["codec", "bandwidth"])
def test_the_original_itself_is_perfect_at_any_level(name: str, music: Wav) -> None:
    for wav in (music, music * np.float32(0.1)):
        found = figures(TASKS[name], same(music), wav)
        assert found["si_sdr_db"] > 90
        assert found["lsd_db"] < 0.01
        if "visqol_mos" in found:
            assert found["visqol_mos"] > 4.7


@pytest.mark.parametrize("name", ["comb", "codec", "bandwidth"])
def test_a_worse_result_is_judged_worse(name: str, music: Wav) -> None:
    task = TASKS[name]
    hiss = noise(seconds=5.0, channels=2, rms=0.001)
    spoilt = [music + hiss * np.float32(gain) for gain in (1, 10)]
    light, heavy = (figures(task, same(music), wav) for wav in spoilt)
    compared = [m for m in task.measures if m.better and m.key in light and m.key[:4] != "comb"]
    assert len(compared) >= 3 or name == "comb"
    for measure in compared:
        sign = 1 if measure.better == "high" else -1
        assert sign * (light[measure.key] - heavy[measure.key]) >= 0, measure.key


def test_the_comb_is_measured_where_the_decoder_put_it(music: Wav) -> None:
    combed = add_comb(music, sample_rate=SAMPLE_RATE)
    found = figures(TASKS["comb"], Case("song", combed, SAMPLE_RATE, mono(combed)), combed)
    clean = figures(TASKS["comb"], same(music), music)
    for spacing in (8000, 2000, 400):
        key = f"comb_{spacing}_hz_db"
        assert found[key] > clean[key] + 2
    assert found["si_sdr_db"] == 120.0


def test_bandwidth_is_judged_above_and_below_the_ceiling(music: Wav) -> None:
    piece = same(music)
    narrow = lower_ceiling(music, sample_rate=SAMPLE_RATE, ceiling_hz=12_000.0)
    found = figures(TASKS["bandwidth"], piece, narrow)
    assert found["lsd_below_db"] < 0.05
    assert found["lsd_above_db"] > 10


@pytest.fixture(scope="module")
def muddy(music: Wav) -> Case:
    planted = plant("mud", music, sample_rate=SAMPLE_RATE, strength="severe")
    return Case("song", planted, SAMPLE_RATE, music, {"fault": "mud"})


def test_a_planted_fault_is_all_gone_in_the_original_and_all_there_in_what_was_left_alone(
    music: Wav, muddy: Case
) -> None:
    cured, idle = (figures(TASKS["planted"], muddy, wav) for wav in (music, 0.5 * muddy.wav))
    assert cured["gone_percent"] > 99
    assert idle["gone_percent"] == pytest.approx(0, abs=1)
    assert cured["heard_sone"] < 0.05 < 1 < idle["heard_sone"]
    assert idle["heard_sone"] == pytest.approx(idle["heard_before_sone"], rel=0.01)
    assert max(cured["cost_sone"], idle["cost_sone"]) < 0.02


def test_what_a_cure_does_beside_the_fault_is_its_cost(music: Wav, muddy: Case) -> None:
    dull = lower_ceiling(music, sample_rate=SAMPLE_RATE, ceiling_hz=6_000.0)
    found = figures(TASKS["planted"], muddy, dull)
    assert found["gone_percent"] > 95
    assert found["cost_sone"] > 1


def test_a_piece_in_mono_is_planted_with_faults_of_stereo_too(tmp_path: Path, music: Wav) -> None:
    sf.write(tmp_path / "one.wav", mono(music).T, SAMPLE_RATE)
    clips = {clip.group: clip for clip in TASKS["planted"].clips(tmp_path, None)}
    assert len(clips) == sum(map(len, PLANTED.values()))
    piece = TASKS["planted"].prepare(clips["wide-lows-severe"])
    assert piece.wav.shape == piece.reference.shape == (2, 5 * SAMPLE_RATE)


def test_a_result_of_another_length_is_judged_on_the_pieces_length(music: Wav) -> None:
    longer = np.pad(music, ((0, 0), (0, 5000)))
    assert figures(TASKS["clean"], same(music), longer)["si_sdr_db"] > 90
    shorter = figures(TASKS["clean"], same(music), music[:, :-48_000])
    assert shorter["si_sdr_db"] < 30


def test_level_is_matched_where_the_music_is(music: Wav) -> None:
    treble = np.random.default_rng(0).standard_normal((1, music.shape[1])) * 0.01
    hissing = mono(music) + np.diff(treble, n=4, prepend=np.zeros((1, 4))).astype(np.float32) * 0.1
    matched = level_matched(np.asarray(hissing * 3, np.float32), mono(music))
    assert np.sqrt(np.mean(matched**2)) == pytest.approx(np.sqrt(np.mean(hissing**2)), rel=0.01)
    silent = np.zeros((1, 1000), np.float32)
    assert not level_matched(silent, mono(music)[:, :1000]).any()


def test_clips_are_what_the_task_can_use(folder: Path) -> None:
    assert [clip.name for clip in TASKS["comb"].clips(folder, None)] == ["one", "two"]
    names = [clip.name for clip in TASKS["bandwidth"].clips(folder, 1)]
    assert names == ["low.4-khz", "low.8-khz", "low.11-khz", "low.16-khz"]
    piece = TASKS["bandwidth"].prepare(TASKS["bandwidth"].clips(folder, None)[5])
    assert piece.name == "one.8-khz"
    assert piece.wav.shape == (2, 5 * SAMPLE_RATE)
    assert piece.reference.shape == (1, 5 * SAMPLE_RATE)
    for name in TASKS:
        with pytest.raises(ConfigError):
            TASKS[name].clips(folder / "gone", None)


def test_pairs_are_read_from_the_index_and_their_lag_is_dropped(tmp_path: Path, music: Wav) -> None:
    (tmp_path / "pairs").mkdir()
    lag = 4801
    sf.write(tmp_path / "clean.wav", music.T, SAMPLE_RATE, subtype="FLOAT")
    late = np.pad(music, ((0, 0), (lag, 0)))
    sf.write(tmp_path / "pairs/late.wav", late.T, SAMPLE_RATE, subtype="FLOAT")
    (tmp_path / "index.csv").write_text(
        f"path,reference,lag_ms\npairs/late.wav,clean.wav,{lag / 48}\nclean.wav,,\n"
    )
    (clip,) = TASKS["pairs"].clips(tmp_path / "pairs", None)
    piece = TASKS["pairs"].prepare(clip)
    assert np.array_equal(mono(piece.wav), piece.reference)
    with pytest.raises(ConfigError, match=r"index\.csv"):
        TASKS["pairs"].clips(tmp_path.parent, None)
    assert len(list(index_rows(tmp_path))) == 2


def test_music_that_ends_below_20_khz_is_no_full_band_music(tmp_path: Path, music: Wav) -> None:
    for name in ("full", "lossy"):
        sf.write(tmp_path / f"{name}.wav", music.T, SAMPLE_RATE)
    rows = "path,bandwidth_max_hz\nfull.wav,22000\nlossy.wav,16000\n"
    (tmp_path / "index.csv").write_text(rows)
    assert [clip.name for clip in TASKS["clean"].clips(tmp_path, None)] == ["full"]


def test_an_excerpt_lies_inside_its_piece_and_has_an_end(folder: Path) -> None:
    start, seconds = excerpt_of(folder / "one.wav", 2.0)
    assert (start, seconds) == (pytest.approx(5 / 3), 2.0)
    assert excerpt_of(folder / "one.wav", 60.0) == (0.0, 5.0)
    wav, rate = read(folder / "one.wav", start_seconds=start, seconds=seconds)
    whole, _ = read(folder / "one.wav")
    begin = round(start * rate)
    assert np.array_equal(wav, whole[:, begin : begin + 2 * rate])
    ends = faded(wav, sample_rate=rate)
    assert np.abs(ends[:, [0, -1]]).max() < 1e-6
    assert np.array_equal(ends[:, rate // 2 : rate], wav[:, rate // 2 : rate])


def test_a_limit_spreads_over_the_folder() -> None:
    paths = [Path(str(number)) for number in range(10)]
    assert spread(paths, 3) == [Path("0"), Path("3"), Path("6")]
    assert spread(paths, None) == spread(paths, 20) == paths
