import math

import numpy as np
import pytest
from tests.signals import noise, pink_noise, silence, sine

from nitido.demo.comb import add_comb
from nitido.demo.render import render
from nitido.dsp.spectral import lower_ceiling
from nitido.errors import AudioShapeError
from nitido.metrics import artefacts
from nitido.metrics.catalogue import CATALOGUE

RATE = 48_000


@pytest.fixture(scope="module")
def music():
    return render(seconds=8.0)


def hits(*, seconds=4.0, attack_ms=0.0, echo_db=None):
    """Noise that breaks off and starts again twice a second, from silence of −70 dB."""
    time = np.arange(round(seconds * RATE)) / RATE
    since = (time - 0.25) % 0.5
    envelope = np.exp(-since / 0.05)
    if attack_ms:
        envelope *= np.minimum(1, since / (attack_ms / 1000))
    if echo_db is not None:  # as a coder spreads an attack over its block
        envelope = np.where(since > 0.5 - 0.015, 10 ** (echo_db / 20), envelope)
    wav = noise(seconds=seconds, rms=0.2) * envelope.astype(np.float32)
    return wav + noise(seconds=seconds, rms=0.2e-3, seed=1)


def holey(wav, share, seed=0):
    """The piece with this share of its cells of time and frequency taken out."""
    n_fft = 1024
    hop = n_fft // 2
    window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft))
    frames = np.lib.stride_tricks.sliding_window_view(wav[0], n_fft)[::hop] * window
    spectrum = np.fft.rfft(frames)
    out = np.random.default_rng(seed).random((len(frames), 32)) < share
    out = np.repeat(out, 16, axis=1)
    out[1:-1] |= out[:-2] | out[2:]  # three frames, 32 ms
    spectrum[:, : out.shape[1]][out] = 0
    frames = np.fft.irfft(spectrum, n_fft) * window
    result = np.zeros(wav.shape[1])
    for index, frame in enumerate(frames):
        result[index * hop : index * hop + n_fft] += frame
    return result.astype(np.float32)[None]


def test_every_measure_is_in_the_catalogue(music):
    scores = artefacts.evaluate(estimate=music, sample_rate=RATE)
    assert set(scores) == {measure.name for measure in CATALOGUE["artefacts"]}


def test_music_without_faults_has_none(music):
    scores = artefacts.evaluate(estimate=music, sample_rate=RATE)
    assert scores["comb_db"] < 1
    assert scores["bandwidth_hz"] > 19_000
    assert scores["holes_percent"] < 0.05
    assert scores["clipped_samples_per_second"] == 0
    assert scores["pre_echo_db"] < 3
    assert scores["attack_ms"] <= 4
    assert scores["end_cut"] == 0


def test_a_planted_comb_is_found_at_its_height():
    music = pink_noise(seconds=12.0, sample_rate=32_000)
    wav = add_comb(music, sample_rate=32_000, seed=1)
    found = artefacts.comb(estimate=wav, sample_rate=32_000)
    for spacing, height in ((8000, 8.8), (2000, 5.6), (400, 5.3), (50, 2.4)):
        assert found[f"comb_{spacing}_hz_db"] == pytest.approx(height, abs=1.2), spacing
    assert found["comb_control_db"] < 1.5
    assert found["comb_db"] > 3


def test_a_higher_comb_scores_worse(music):
    found = [
        artefacts.comb(estimate=add_comb(music, sample_rate=RATE, level_db=db), sample_rate=RATE)
        for db in (-12, -6, 0, 6)
    ]
    for name in ("comb_db", "comb_400_hz_db", "comb_2000_hz_db"):
        values = [scores[name] for scores in found]
        assert values == sorted(values), name
        assert values[-1] > values[0]


def test_a_lower_ceiling_is_found_where_it_is(music):
    for ceiling_hz in (6000.0, 11_000.0, 16_000.0):
        dull = lower_ceiling(music, sample_rate=RATE, ceiling_hz=ceiling_hz)
        found = artefacts.bandwidth(estimate=dull, sample_rate=RATE)["bandwidth_hz"]
        assert found == pytest.approx(ceiling_hz, rel=0.06)


def test_more_holes_score_worse():
    wav = pink_noise(seconds=4.0)
    found = [
        artefacts.holes_percent(estimate=holey(wav, share), sample_rate=RATE)
        for share in (0.0, 0.005, 0.02, 0.05)
    ]
    assert found[0] < 0.01
    assert found == sorted(found)
    assert found[3] > 0.5


def test_a_rest_of_the_whole_music_is_no_hole():
    wav = pink_noise(seconds=4.0)
    for start in range(20_000, 180_000, 9600):
        wav[:, start : start + 1500] = 0
    assert artefacts.holes_percent(estimate=wav, sample_rate=RATE) < 0.05


def test_harder_clipping_scores_worse(music):
    found = [
        artefacts.clipped_samples_per_second(
            estimate=np.clip(music, -level, level), sample_rate=RATE
        )
        for level in (1.0, 0.5, 0.3, 0.2)
    ]
    assert found[0] == 0
    assert found == sorted(found)
    assert found[3] > 1000


def test_a_planted_pre_echo_is_found_and_a_louder_one_is_worse():
    found = [
        artefacts.pre_echo_db(estimate=hits(echo_db=db), sample_rate=RATE)
        for db in (None, -45, -35, -25)
    ]
    assert found[0] == pytest.approx(0, abs=1.5)
    assert found == sorted(found)
    assert found[3] - found[2] == pytest.approx(10, abs=1.5)


def test_slower_attacks_take_longer():
    found = [
        artefacts.attack_ms(estimate=hits(attack_ms=length), sample_rate=RATE)
        for length in (0, 5, 10, 20)
    ]
    assert found[0] <= 1
    assert found == sorted(found)
    for value, length in zip(found[1:], (5, 10, 20), strict=True):
        # From 10 to 90 % of a straight rise; noise reaches its own top some ms later.
        assert 0.6 * length <= value <= 0.8 * length + 5


def test_an_end_in_the_middle_of_a_sound_is_a_cut(music):
    assert artefacts.end_cut(estimate=music[:, : 5 * RATE // 2], sample_rate=RATE) == 1
    assert artefacts.end_cut(estimate=music, sample_rate=RATE) == 0
    for gain_db in (-20, -10, 0):
        level = artefacts.end_level_dbfs(
            estimate=sine(440, amplitude=10 ** (gain_db / 20)), sample_rate=RATE
        )
        assert level == pytest.approx(gain_db - 3.01, abs=0.1)


def test_a_fault_of_one_channel_is_found_among_two():
    wav = pink_noise(seconds=4.0, channels=2)
    one = np.concatenate([wav[:1], holey(wav[1:], 0.05)[:, : wav.shape[1]]])
    both = artefacts.holes_percent(estimate=holey(wav[1:], 0.05), sample_rate=RATE)
    assert artefacts.holes_percent(estimate=one, sample_rate=RATE) == pytest.approx(
        both / 2, rel=0.1
    )


@pytest.mark.parametrize("sample_rate", [8000, 44_100, 192_000])
@pytest.mark.parametrize("samples", [1, 100, 20_000])
def test_any_length_and_rate_gives_numbers_or_none(sample_rate, samples):
    for wav in (noise(channels=2)[:, :samples], silence()[:, :samples]):
        scores = artefacts.evaluate(estimate=wav, sample_rate=sample_rate)
        assert all(value is None or math.isfinite(value) for value in scores.values())


def test_nothing_is_refused():
    with pytest.raises(AudioShapeError):
        artefacts.evaluate(estimate=silence()[:, :0], sample_rate=RATE)


def test_low_rate_mp3_has_more_holes_and_more_before_its_attacks(shared_audio, tmp_path):
    import soundfile as sf

    path = shared_audio / "clean/test/visqol_glock.flac"
    clean, rate = sf.read(path, dtype="float32", always_2d=True, frames=8 * 48_000)
    coded = tmp_path / "coded.mp3"
    sf.write(coded, clean, rate, format="MP3", compression_level=0.5)
    found = [
        artefacts.evaluate(estimate=np.ascontiguousarray(wav.T), sample_rate=rate)
        for wav in (clean, sf.read(coded, dtype="float32", always_2d=True)[0])
    ]
    assert found[1]["holes_percent"] > 3 * found[0]["holes_percent"]
    assert found[1]["bandwidth_hz"] < found[0]["bandwidth_hz"] - 2000
