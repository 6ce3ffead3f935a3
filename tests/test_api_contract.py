import inspect
import json

import numpy as np
import pytest

import nitido
from nitido.degradation import render
from nitido.demo import DECODER_HZ, spoil


class Tensor:
    """Behaves like a torch tensor, as far as nitido can see; torch is not needed for that."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def detach(self) -> "Tensor":
        return self

    def cpu(self) -> "Tensor":
        return self

    def float(self) -> "Tensor":
        return self

    def is_floating_point(self) -> bool:
        return True

    def numpy(self) -> np.ndarray:
        return self._array


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return spoil(render(seconds=6.0)[:, :96_000])


@pytest.fixture(scope="module")
def result(clip: np.ndarray) -> nitido.Restoration:
    return nitido.restore(clip, sample_rate=DECODER_HZ)


def test_the_public_names_are_sorted_and_there() -> None:
    assert nitido.__all__ == sorted(nitido.__all__)
    for name in nitido.__all__:
        assert hasattr(nitido, name), name
    assert dir(nitido) == nitido.__all__


def test_everything_public_says_what_it_is() -> None:
    public = [getattr(nitido, name) for name in nitido.__all__ if name != "__version__"]
    assert not [thing for thing in public if not inspect.getdoc(thing)]


def test_errors_are_standard_errors_as_well() -> None:
    assert issubclass(nitido.ConfigError, ValueError)
    assert issubclass(nitido.AudioReadError, OSError)
    assert issubclass(nitido.AudioWriteError, OSError)
    assert issubclass(nitido.AudioShapeError, ValueError)
    assert issubclass(nitido.SampleRateError, ValueError)
    assert issubclass(nitido.MissingExtraError, ImportError)


def test_a_tensor_as_musicgen_returns_it_is_a_piece(
    clip: np.ndarray, result: nitido.Restoration
) -> None:
    same = nitido.restore(Tensor(clip[None]), sample_rate=DECODER_HZ)
    assert np.array_equal(same.wav, result.wav)


def test_a_result_has_the_length_of_its_input(clip: np.ndarray, result: nitido.Restoration) -> None:
    assert result.sample_rate == 48_000
    assert result.wav.shape == (2, clip.shape[1] * 3 // 2)
    assert result.wav.dtype == np.float32
    assert result.removed.shape == result.wav.shape


def test_the_caller_s_array_is_never_written_to(clip: np.ndarray) -> None:
    before = clip.copy()
    nitido.restore(clip, sample_rate=DECODER_HZ)
    assert np.array_equal(before, clip)


def test_the_plan_replays_to_the_same_samples(clip: np.ndarray, result: nitido.Restoration) -> None:
    plan = nitido.Plan.from_json(result.plan.to_json())
    again = nitido.restore(clip, sample_rate=DECODER_HZ, plan=plan)
    assert np.array_equal(again.wav, result.wav)


def test_the_sidecar_is_json_and_says_what_was_done(result: nitido.Restoration) -> None:
    sidecar = json.loads(json.dumps(result.sidecar(), allow_nan=False))
    told = {"nitido", "input", "plan", "changes", "before", "after", "sentences"}
    assert set(sidecar) == told
    assert {change["stage"] for change in sidecar["changes"]} >= {"decomb", "bandwidth", "whole"}
    assert nitido.Plan.from_json(json.dumps(sidecar)) == result.plan


def test_progress_rises_to_the_end_and_can_stop_the_work(clip: np.ndarray) -> None:
    heard: list[float] = []
    nitido.restore(
        clip, sample_rate=DECODER_HZ, on_progress=lambda done, total: heard.append(done / total)
    )
    assert heard == sorted(heard)
    assert heard[-1] == pytest.approx(1)

    def stop(done: float, total: float) -> None:
        raise nitido.CancelledError("enough")

    with pytest.raises(nitido.CancelledError):
        nitido.restore(clip, sample_rate=DECODER_HZ, on_progress=stop)


def test_wrong_choices_are_refused_before_any_work(clip: np.ndarray) -> None:
    def fail(done: float, total: float) -> None:
        raise AssertionError("work had begun")

    for wrong in (
        {"preset": "nothing"},
        {"stages": ["decom"]},
        {"without": ["widht"]},
        {"settings": {"bandwidth.amount": 99.0}},
        {"settings": {"bandwidth.amuont": 1.0}},
    ):
        with pytest.raises(nitido.ConfigError):
            nitido.restore(clip, sample_rate=DECODER_HZ, on_progress=fail, **wrong)
    with pytest.raises(nitido.ConfigError):
        nitido.restore(clip)  # at which sample rate?


def test_a_diagnosis_made_before_saves_the_pass_and_changes_nothing(
    clip: np.ndarray, result: nitido.Restoration, monkeypatch: pytest.MonkeyPatch
) -> None:
    diagnosis = nitido.diagnose(clip, sample_rate=DECODER_HZ)
    monkeypatch.setattr("nitido.api.examine", lambda *_, **__: pytest.fail("examined again"))
    again = nitido.restore(clip, sample_rate=DECODER_HZ, diagnosis=diagnosis, name="my song")
    assert np.array_equal(again.wav, result.wav)
    assert again.sidecar()["input"]["name"] == "my song"


def test_the_diagnosis_of_another_piece_is_refused(clip: np.ndarray) -> None:
    diagnosis = nitido.diagnose(clip[:, :-1], sample_rate=DECODER_HZ)
    with pytest.raises(nitido.ConfigError, match="not of"):
        nitido.restore(clip, sample_rate=DECODER_HZ, diagnosis=diagnosis)
