"""Against auraloss, museval and librosa; pyloudnorm is in test_delivery.py, ViSQOL is itself."""

import json

import numpy as np
import pytest
from tests.golden.measure import AURALOSS, auraloss_values, pairs

from nitido.metrics import fidelity

PAIRS = pairs()
WRITTEN = json.loads(AURALOSS.read_text("utf-8"))  # by auraloss itself, see tests/golden


@pytest.mark.parametrize("name", PAIRS)
def test_the_multi_resolution_distance_is_that_of_auraloss(name):
    estimate, reference = PAIRS[name]
    distance = fidelity.multi_resolution_stft(estimate=estimate, reference=reference)
    assert distance == pytest.approx(WRITTEN[name]["multi_resolution_stft"], rel=1e-4)


def test_si_sdr_is_that_of_auraloss():
    for name in ("noise at −20 dB", "another piece"):
        estimate, reference = PAIRS[name]
        ratio = fidelity.si_sdr_db(estimate=estimate, reference=reference)
        assert ratio == pytest.approx(WRITTEN[name]["si_sdr_db"], abs=1e-3)


def test_what_was_written_down_is_what_auraloss_says():
    pytest.importorskip("torch", reason="auraloss needs torch, which is not installed")
    pytest.importorskip("auraloss", reason="auraloss is not installed")
    for name, values in auraloss_values().items():
        assert values == pytest.approx(WRITTEN[name], rel=1e-4, abs=1e-3)


def test_sdr_is_that_of_museval():
    try:
        from museval.metrics import bss_eval
    except (ImportError, RuntimeError) as error:  # it refuses to be imported without ffmpeg
        pytest.skip(f"museval cannot be imported here: {error}")
    for name in ("noise at −20 dB", "half as loud", "another piece"):
        estimate, reference = PAIRS[name]
        sdr, *_ = bss_eval(
            reference.T[None].astype(float),
            estimate.T[None].astype(float),
            window=np.inf,
            hop=np.inf,
            compute_permutation=False,
            bsseval_sources_version=False,
        )
        ratio = fidelity.sdr_db(estimate=estimate, reference=reference)
        assert ratio == pytest.approx(float(sdr.item()), abs=1e-3)


@pytest.mark.parametrize("sample_rate", [16_000, 44_100, 48_000])
def test_mel_filters_are_those_of_librosa(sample_rate):
    librosa = pytest.importorskip("librosa", reason="librosa is not installed")
    ours = fidelity.mel_filters(sample_rate=sample_rate, n_fft=2048, mels=128)
    theirs = librosa.filters.mel(sr=sample_rate, n_fft=2048, n_mels=128, norm=None)
    assert ours == pytest.approx(theirs, abs=1e-5)
