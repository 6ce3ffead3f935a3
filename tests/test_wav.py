import numpy as np
import pytest

from nitido.dsp.wav import as_wav, check_sample_rate
from nitido.errors import AudioShapeError, SampleRateError


class TorchLikeTensor:
    """What `as_wav` uses of a torch tensor, and the order in which torch insists on it."""

    def __init__(self, array, *, on_gpu=True, has_gradient=True):
        self.array, self.on_gpu, self.has_gradient = array, on_gpu, has_gradient

    def detach(self):
        return TorchLikeTensor(self.array, on_gpu=self.on_gpu, has_gradient=False)

    def cpu(self):
        return TorchLikeTensor(self.array, on_gpu=False, has_gradient=self.has_gradient)

    def float(self):
        return TorchLikeTensor(
            self.array.astype(np.float32), on_gpu=self.on_gpu, has_gradient=self.has_gradient
        )

    def is_floating_point(self):
        return self.array.dtype.kind == "f"

    def numpy(self):
        assert not self.on_gpu
        assert not self.has_gradient
        return self.array


def test_what_musicgen_returns_for_one_prompt_is_a_mono_waveform():
    generated = TorchLikeTensor(np.full((1, 1, 32_000), 0.25, np.float16))
    wav = as_wav(generated)
    assert wav.shape == (1, 32_000)
    assert wav.dtype == np.float32
    assert np.all(wav == 0.25)


def test_a_tensor_of_integers_is_scaled_to_full_scale():
    wav = as_wav(TorchLikeTensor(np.array([[-32768, 16384]], np.int16)))
    assert wav.tolist() == [[-1.0, 0.5]]


@pytest.mark.parametrize(
    ("dtype", "lowest", "half"),
    [
        (np.int8, -128, 64),
        (np.int16, -(2**15), 2**14),
        (np.int32, -(2**31), 2**30),
        (np.uint8, 0, 192),
        (np.uint16, 0, 49152),
    ],
)
def test_integers_of_any_width_reach_the_same_full_scale(dtype, lowest, half):
    assert as_wav(np.array([lowest, half], dtype)).tolist() == [[-1.0, 0.5]]


def test_one_dimension_is_mono():
    assert as_wav([0.0, 0.5, -0.5]).tolist() == [[0.0, 0.5, -0.5]]


def test_the_callers_array_is_left_as_it_was():
    given = np.linspace(-1, 1, 12).reshape(2, 6)
    kept = given.copy()
    as_wav(given)
    assert np.array_equal(given, kept)


def test_a_transposed_view_comes_back_in_one_piece():
    assert as_wav(np.zeros((100, 2), np.float32).T).flags.c_contiguous


def test_nan_is_a_sample_like_any_other_here():
    assert np.isnan(as_wav([0.0, np.nan])[0, 1])


def test_a_batch_of_clips_is_refused_with_a_remedy():
    with pytest.raises(AudioShapeError, match="one by one"):
        as_wav(np.zeros((4, 1, 100)))


def test_samples_first_is_refused_with_a_remedy():
    with pytest.raises(AudioShapeError, match="transpose"):
        as_wav(np.zeros((1000, 2)))


@pytest.mark.parametrize("audio", ["song", [1j], np.array([2**40]), [True]])
def test_what_is_no_sound_is_refused(audio):
    with pytest.raises(AudioShapeError):
        as_wav(audio)


@pytest.mark.parametrize("rate", [7_999, 192_001, 0, -48_000, 44_100.5])
def test_a_rate_that_no_music_has_is_refused(rate):
    with pytest.raises(SampleRateError, match="resample"):
        check_sample_rate(rate)


@pytest.mark.parametrize("rate", [8_000, 32_000, 192_000, 48_000.0])
def test_usual_rates_pass_as_whole_numbers(rate):
    assert check_sample_rate(rate) == rate
    assert isinstance(check_sample_rate(rate), int)
