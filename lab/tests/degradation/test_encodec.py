import numpy as np
import pytest
from tests.signals import noise, pink_noise

from nitido.errors import MissingExtraError
from nitido.metrics.artefacts import comb
from nitido_lab.degradation import apply
from nitido_lab.degradation.encodec import encodec, encodec_missing

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

RATE = 32_000


@pytest.fixture(scope="module")
def model() -> "transformers.EncodecModel":
    """A small EnCodec with the strides of MusicGen's and weights of chance."""
    torch.manual_seed(0)
    config = transformers.EncodecConfig(
        sampling_rate=RATE,
        audio_channels=1,
        target_bandwidths=[2.2],
        upsampling_ratios=[8, 5, 4, 4],
        num_filters=4,
        hidden_size=16,
        codebook_size=2048,
        codebook_dim=16,
        num_lstm_layers=1,
        num_residual_layers=1,
        chunk_length_s=None,
        norm_type="weight_norm",
        use_causal_conv=False,
    )
    return transformers.EncodecModel(config)


def test_its_decoder_leaves_the_comb_of_its_strides(model: "transformers.EncodecModel") -> None:
    wav = pink_noise(seconds=6, sample_rate=RATE)
    coded = encodec(wav, sample_rate=RATE, model=model, kbps=2.2)
    assert coded.shape == wav.shape
    before = comb(estimate=wav, sample_rate=RATE)
    after = comb(estimate=coded, sample_rate=RATE)
    for lines in ("comb_8000_hz_db", "comb_2000_hz_db"):
        assert after[lines] > before[lines] + 3


def test_stereo_at_another_rate_comes_back_as_it_was_laid_out(
    model: "transformers.EncodecModel",
) -> None:
    wav = noise(seconds=1, channels=2)
    drawn = [{"kind": "encodec", "model": model, "kbps": 2.2}]
    coded = apply(drawn, wav, sample_rate=48_000)
    assert coded.shape == wav.shape
    assert coded.dtype == np.float32
    assert np.array_equal(coded[0], coded[1])  # a mono codec


def test_without_weights_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "not cached" in str(encodec_missing("facebook/encodec_none"))
    with pytest.raises(MissingExtraError, match="not cached"):
        encodec(noise(seconds=0.1), sample_rate=RATE, name="facebook/encodec_none")
