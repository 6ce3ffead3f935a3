import numpy as np
import pytest
import soundfile as sf
from tests.signals import noise, pink_noise, sine

from nitido.errors import AudioShapeError
from nitido.metrics import features
from nitido.metrics.catalogue import CATALOGUE

pytest.importorskip("librosa", reason="needs librosa: pip install 'nitido[metrics]'")


def test_a_tone_has_its_centroid_at_its_pitch_and_no_flatness():
    tone = sine(1000, seconds=2.0, sample_rate=22_050, amplitude=0.5)
    scores = features.evaluate(estimate=tone, sample_rate=22_050)
    assert scores["spectral_centroid"] == pytest.approx(1000, rel=0.03)
    assert scores["spectral_flatness"] < 1e-3
    assert scores["rms_energy"] == pytest.approx(0.5 / np.sqrt(2), rel=0.03)


def test_white_noise_is_flat_and_has_its_centroid_in_the_middle():
    scores = features.evaluate(estimate=noise(seconds=2.0, sample_rate=22_050), sample_rate=22_050)
    assert scores["spectral_centroid"] == pytest.approx(22_050 / 4, rel=0.02)
    assert 0.4 < scores["spectral_flatness"] < 0.7  # a spectrum of noise is not a flat line
    assert scores["rms_energy"] == pytest.approx(0.1, rel=0.03)


def test_every_measure_is_in_the_catalogue():
    scores = features.evaluate(estimate=noise(), sample_rate=48_000)
    assert set(scores) == {measure.name for measure in CATALOGUE["features"]}


def test_brighter_noisier_and_louder_rise_one_measure_each():
    dull = pink_noise(seconds=2.0)
    series = [dull + noise(seconds=2.0, rms=rms) for rms in (0.0, 0.01, 0.03, 0.1)]
    scores = [features.evaluate(estimate=wav, sample_rate=48_000) for wav in series]
    for name in scores[0]:
        values = [found[name] for found in scores]
        assert values == sorted(values), name


@pytest.mark.parametrize(
    ("sample_rate", "channels", "suffix"),
    [(32_000, 1, "wav"), (48_000, 2, "wav"), (44_100, 2, "flac"), (22_050, 1, "wav")],
)
def test_it_is_what_librosa_says_of_the_same_file(tmp_path, sample_rate, channels, suffix):
    import librosa

    path = tmp_path / f"clip.{suffix}"
    clip = pink_noise(seconds=2.0, sample_rate=sample_rate, channels=channels)
    sf.write(path, clip.T, sample_rate)
    _same_as_librosa(librosa, path)


def test_it_is_what_librosa_says_of_real_clips(shared_audio):
    import librosa

    for name in ("musicgen/azira18_piano-melancholic.wav", "clean/test/visqol_guitar.flac"):
        _same_as_librosa(librosa, shared_audio / name)


def _same_as_librosa(librosa, path):
    wav, sample_rate = librosa.load(path)
    direct = {
        "spectral_centroid": librosa.feature.spectral_centroid(y=wav, sr=sample_rate).mean(),
        "spectral_flatness": librosa.feature.spectral_flatness(y=wav).mean(),
        "rms_energy": librosa.feature.rms(y=wav).mean(),
    }
    read, rate = sf.read(path, dtype="float32", always_2d=True)
    scores = features.evaluate(estimate=np.ascontiguousarray(read.T), sample_rate=rate)
    assert scores == pytest.approx(direct, rel=1e-6)


def test_nothing_is_refused():
    with pytest.raises(AudioShapeError):
        features.evaluate(estimate=noise()[:, :0], sample_rate=48_000)
