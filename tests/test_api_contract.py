import inspect
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from tests.signals import pink_noise

import nitido
from nitido.audio import read_tags
from nitido.demo import DECODER_HZ, add_artifacts
from nitido.demo.render import render


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
    return add_artifacts(render(seconds=6.0)[:, :96_000])


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
    told = {"nitido", "input", "plan", "changes", "before", "after", "sentences", "new_faults"}
    told |= {"no_faults"}
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
    monkeypatch.setattr("nitido.api.analyse", lambda *_, **__: pytest.fail("examined again"))
    again = nitido.restore(clip, sample_rate=DECODER_HZ, diagnosis=diagnosis, name="my song")
    assert np.array_equal(again.wav, result.wav)
    assert again.sidecar()["input"]["name"] == "my song"


def test_the_diagnosis_of_another_piece_is_refused(clip: np.ndarray) -> None:
    diagnosis = nitido.diagnose(clip[:, :-1], sample_rate=DECODER_HZ)
    with pytest.raises(nitido.ConfigError, match="not of"):
        nitido.restore(clip, sample_rate=DECODER_HZ, diagnosis=diagnosis)


def test_every_verb_takes_whatever_is_a_piece_of_audio(clip: np.ndarray, tmp_path: Path) -> None:
    stereo = np.concatenate([clip, -clip])
    path = tmp_path / "song.wav"
    sf.write(path, stereo.T, DECODER_HZ, "FLOAT")
    wanted = nitido.diagnose(path).to_dict()
    with path.open("rb") as file:
        file.read(7)
        file.seek(0)
        assert nitido.diagnose(file).to_dict() == wanted
        assert file.tell() == 0
    for audio in (
        io.BytesIO(path.read_bytes()),
        sf.read(path),
        (DECODER_HZ, stereo.T),
        (stereo, DECODER_HZ),
    ):
        assert nitido.diagnose(audio).to_dict() == wanted
    with path.open(encoding="latin-1") as text, pytest.raises(nitido.AudioReadError, match="'rb'"):
        nitido.diagnose(text)
    with pytest.raises(nitido.ConfigError, match="only for arrays"):
        nitido.diagnose(path, sample_rate=DECODER_HZ)


def test_the_verbs_compose_and_the_mark_travels_along(clip: np.ndarray, tmp_path: Path) -> None:
    made = nitido.Generation(clip, DECODER_HZ, "slow jazz", 7, "a-model", None, "CC-BY-NC", {})
    first = nitido.restore(made, stages=["dc"])
    again = nitido.restore(first, stages=["dc"])
    assert nitido.diagnose(first).sample_rate == first.sample_rate
    names = [piece.name for piece in nitido.compare(made, first, tables=["delivery"]).pieces]
    assert names == ["slow jazz", "slow jazz_restored"]
    for number, result in enumerate((made, first, again)):
        path = result.write(tmp_path / f"{number}.wav")
        assert nitido.diagnose(path).channels == 1
        assert read_tags(path)["ai-generated"] == ["true"]


def test_a_result_of_a_file_never_replaces_that_file_however_often_restored(
    clip: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "song.wav"
    sf.write(path, clip.T, DECODER_HZ)
    with path.open("rb") as file:
        first = nitido.restore(file, stages=["dc"])
    for result in (first, nitido.restore(first, stages=["dc"])):
        with pytest.raises(nitido.AudioWriteError, match="would replace the input"):
            result.write(path, overwrite=True)


def test_a_closed_restoration_says_so_and_keeps_what_was_said(clip: np.ndarray) -> None:
    long = np.tile(clip, (1, 8))  # handed on in several blocks
    with nitido.restore(long, sample_rate=DECODER_HZ, stages=["dc"]) as result:
        begun = result.blocks()
        next(begun)
        assert result.after.channels == next(result.blocks()).shape[0] == 1
    assert result.sidecar()["plan"]["preset"] == "musicgen"
    for blocks in (begun, result.blocks()):
        with pytest.raises(nitido.ConfigError, match="was closed"):
            next(blocks)


def test_a_diagnosis_comes_back_from_its_own_json(result: nitido.Restoration) -> None:
    text = json.dumps(result.diagnosis.to_dict())
    assert nitido.Diagnosis.from_dict(json.loads(text)) == result.diagnosis
    for wrong in ({}, [], {**json.loads(text), "findings": [{"kind": "x"}]}):
        with pytest.raises(nitido.ConfigError):
            nitido.Diagnosis.from_dict(wrong)


def test_what_stands_in_a_notebook_is_short_and_says_what_it_is(
    result: nitido.Restoration, clip: np.ndarray
) -> None:
    made = nitido.Generation(clip, DECODER_HZ, "slow jazz", 7, "a-model", None, "CC-BY-NC", {})
    compared = nitido.compare(made, result, tables=["delivery"])
    things = (result, result.diagnosis, result.plan, result.changes[0], made, compared)
    for thing in things:
        lines = repr(thing).splitlines()
        assert lines[0].startswith(type(thing).__name__)
        assert len(lines) <= 8
        assert max(map(len, lines)) < 300
        assert " at 0x" not in repr(thing)
    assert "decomb" in repr(result)


WAV = pink_noise(seconds=0.5)
ODD = [
    True,
    float("nan"),
    float("inf"),
    -1,
    0,
    "48000",
    "off",
    None,
    [],
    {},
    object(),
    b"x",
    10**400,
]


def refuses(call: Callable[..., object], *given: object, **named: object) -> None:
    """Check that a call is refused in one sentence, by an error of ours."""
    with pytest.raises(nitido.NitidoError) as caught:
        call(*given, **named)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("value", ODD)
def test_numbers_that_are_none_are_refused_in_one_sentence(value: object) -> None:
    refuses(nitido.restore, WAV, sample_rate=value)
    refuses(nitido.diagnose, WAV, sample_rate=value)
    refuses(nitido.separate, WAV, sample_rate=value)
    refuses(nitido.compare, WAV, WAV, sample_rate=value)
    refuses(nitido.restore, WAV, sample_rate=48_000, output_sample_rate=value)
    if value != 10**400:
        refuses(nitido.restore, WAV, sample_rate=48_000, block_seconds=value)
    if value not in (float("inf"), 10**400):
        refuses(nitido.diagnose, WAV, sample_rate=48_000, max_seconds=value)


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("preset", [None, 1, [], {}, b"gentle"]),
        ("stages", ["bandwidth", b"dc", 1, {"dc": 1}, [1], [None], [[]]]),
        ("without", ["bandwidth", 1, {"dc": 1}, [1], [[]]]),
        ("settings", ["dc", 1, [1], {1: 2}, {"": 1}, {"dc": 1}, {None: 1}, {".": 1}, {"dc.": 1}]),
        ("plan", [{}, "plan.json", 1, True, []]),
        ("diagnosis", [{}, "a.json", 1, True, []]),
        ("name", [1, [], b"x"]),
        ("device", [None, 1, [], "tpu"]),
        ("demucs_repo", [1, [], True]),
    ],
)
def test_arguments_of_the_wrong_kind_are_refused_in_one_sentence(
    argument: str, values: list[object]
) -> None:
    for value in values:
        stems = {"stems": True} if argument in ("device", "demucs_repo") else {}
        refuses(nitido.restore, WAV, sample_rate=48_000, **{argument: value, **stems})


def test_a_single_stage_is_named_in_a_list() -> None:
    with pytest.raises(nitido.ConfigError, match=r"stages is 'bandwidth'; it is a list"):
        nitido.restore(WAV, sample_rate=48_000, stages="bandwidth")


@pytest.mark.parametrize("value", [None, 1, object(), b"a.wav", {}, [[1.0], [1.0, 2.0]], "a\0.wav"])
def test_what_is_no_sound_is_refused_in_one_sentence(value: object) -> None:
    for verb in (nitido.restore, nitido.diagnose, nitido.separate):
        refuses(verb, value, sample_rate=48_000)
    refuses(nitido.compare, value, WAV, sample_rate=48_000)
    refuses(nitido.compare, WAV, value, sample_rate=48_000)


def test_tables_and_names_are_lists_of_names() -> None:
    for value in ("content", 1, [1], {"content": 1}):
        refuses(nitido.compare, WAV, WAV, sample_rate=48_000, tables=value)
        refuses(nitido.compare, WAV, WAV, sample_rate=48_000, names=value)


@pytest.mark.parametrize(
    "options",
    [
        *({"seconds": value} for value in ODD),
        *({"seed": value} for value in ("1", None, float("nan"), 1.5)),
        *({"guidance": value} for value in ("1", None, float("nan"))),
        *({"batch_size": value} for value in (0, 1.5, "1", None)),
        *({"model": value} for value in (1, None, [], "")),
        *({"revision": value} for value in (1, [])),
        *({"device": value} for value in (1, None, "tpu")),
        *({"dtype": value} for value in (1, None, "int8")),
        *({"prompt": value} for value in (1, None, "", [], [1], [""], {})),
    ],
)
def test_what_cannot_be_generated_is_refused_in_one_sentence(options: dict[str, object]) -> None:
    named = {"prompt": "a song", "model": "no/such", **options}
    refuses(nitido.generate, named.pop("prompt"), **named)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3"])
def test_what_is_said_of_a_result_is_what_a_second_look_at_its_file_says(
    clip: np.ndarray, tmp_path: Path, suffix: str
) -> None:
    result = nitido.restore(clip, sample_rate=DECODER_HZ)
    path = result.write(tmp_path / f"song.{suffix}", bit_depth=16 if suffix == "wav" else None)
    assert result.after == nitido.diagnose(path)
    sidecar = json.loads((tmp_path / f"song.{suffix}.nitido.json").read_text("utf-8"))
    assert nitido.Diagnosis.from_dict(sidecar["after"]) == result.after


def test_the_loudness_that_is_planned_is_the_one_that_happens(clip: np.ndarray) -> None:
    result = nitido.restore(clip, sample_rate=DECODER_HZ)
    planned = nitido.plan(result.diagnosis)["loudness"].reason
    needed = float(re.search(r"needs ([+-][0-9.]+) dB", planned)[1])
    assert result.channels == 2
    assert result.plan["loudness"].settings["gain_db"] == pytest.approx(needed, abs=0.8)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("preset", "gentle"),
        ("preset", "nonsense"),
        ("stages", ["dc"]),
        ("without", ["dc"]),
        ("settings", {"bandwidth.amount": 0.5}),
        ("output_sample_rate", 44_100),
    ],
)
def test_a_choice_beside_a_plan_is_refused_because_the_plan_answers_it(
    clip: np.ndarray, result: nitido.Restoration, name: str, value: object
) -> None:
    with pytest.raises(nitido.ConfigError, match=f"`plan=` and `{name}=` exclude each other"):
        nitido.restore(clip, sample_rate=DECODER_HZ, plan=result.plan, **{name: value})


def test_every_way_to_restore_has_the_same_defaults() -> None:
    from nitido.generation.settings import GenerateOptions, Request
    from nitido.restoration.restore_options import RestoreOptions

    for verb, stated in (
        (nitido.restore, RestoreOptions()),
        (nitido.plan, RestoreOptions()),
        (nitido.generate, GenerateOptions()),
        (nitido.generate, Request("any")),
    ):
        for name, parameter in inspect.signature(verb).parameters.items():
            if hasattr(stated, name) and name not in ("settings", "max_seconds", "prompt"):
                assert parameter.default == getattr(stated, name), (verb.__name__, name)
