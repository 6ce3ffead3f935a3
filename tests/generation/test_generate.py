"""Text to music with tiny checkpoints, through the same code as the real ones."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.checkpoints import PROMPT_TOKENS_MAX, save_musicgen

import nitido
from nitido.audio import read_tags
from nitido.errors import ConfigError, DeviceMemoryError, MissingExtraError, WeightsError
from nitido.generation.device import find_device
from nitido.generation.musicgen import load
from nitido.generation.sampling import Draw
from nitido.generation.settings import GenerateOptions

PROMPT = "a happy pop song"
OTHER = "slow sad jazz with piano and soft drums"


def make(model: str, prompt: Any = PROMPT, **options: Any) -> Any:
    return nitido.generate(prompt, model=model, **{"seconds": 1.0, **options})


def test_a_piece_has_its_length_and_rate_and_sounds(musicgen: str) -> None:
    piece = make(musicgen, seconds=1.23)
    assert (piece.sample_rate, piece.wav.shape) == (32_000, (1, round(1.23 * 32_000)))
    assert piece.wav.dtype == np.float32
    assert -30 < 20 * np.log10(piece.wav.std()) < -6
    assert piece.seconds == pytest.approx(1.23)


def test_the_same_seed_gives_the_same_bytes(musicgen: str) -> None:
    assert make(musicgen, seed=5).wav.tobytes() == make(musicgen, seed=5).wav.tobytes()


def test_another_seed_or_prompt_gives_another_piece(musicgen: str) -> None:
    piece = make(musicgen)
    for other in (make(musicgen, seed=1), make(musicgen, prompt=OTHER)):
        assert np.abs(piece.wav - other.wav).max() > 0.01


def test_settings_of_the_sampler_change_the_piece(musicgen: str) -> None:
    piece = make(musicgen)
    for setting in ({"guidance": 1.0}, {"temperature": 2.0}, {"top_k": 3}):
        assert np.abs(piece.wav - make(musicgen, **setting).wav).max() > 0.01, setting


def test_a_piece_is_the_same_alone_and_in_a_batch(musicgen: str) -> None:
    together = make(musicgen, [OTHER, PROMPT, "techno"], seed=4)
    alone = make(musicgen, seed=4)
    assert [piece.prompt for piece in together] == [OTHER, PROMPT, "techno"]
    assert together[1].wav == pytest.approx(alone.wav, abs=1e-5)


def test_melody_checkpoints_do_not_hear_the_padding_of_shorter_prompts(
    melody_musicgen: str,
) -> None:
    together = make(melody_musicgen, [OTHER, PROMPT], seed=4)
    assert together[1].wav == pytest.approx(make(melody_musicgen, seed=4).wav, abs=1e-5)


def test_the_likeliest_tokens_are_those_that_transformers_takes(musicgen: str) -> None:
    loaded = load(musicgen)
    tokens = loaded.tokenizer([PROMPT], return_tensors="pt")
    theirs = loaded.model.generate(
        input_ids=tokens["input_ids"],
        attention_mask=tokens["attention_mask"],
        do_sample=False,
        guidance_scale=3.0,
        max_new_tokens=50 + 3,
    )
    assert np.array_equal(make(musicgen, top_k=1).wav, theirs[0].numpy())


def test_a_stereo_checkpoint_gives_two_different_channels(stereo_musicgen: str) -> None:
    piece = make(stereo_musicgen)
    assert piece.wav.shape == (2, 32_000)
    assert np.abs(piece.wav[0] - piece.wav[1]).max() > 0.01


def test_stereo_is_what_transformers_makes_of_the_codes(stereo_musicgen: str) -> None:
    loaded = load(stereo_musicgen)
    tokens = loaded.tokenizer([PROMPT], return_tensors="pt")
    theirs = loaded.model.generate(
        input_ids=tokens["input_ids"],
        attention_mask=tokens["attention_mask"],
        do_sample=False,
        guidance_scale=3.0,
        max_new_tokens=50 + 3,
    )
    assert np.array_equal(make(stereo_musicgen, top_k=1).wav, theirs[0].numpy())


def test_the_caller_s_random_numbers_are_left_alone(musicgen: str) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    make(musicgen)
    assert torch.equal(torch.rand(3), expected)


def test_draws_follow_the_probabilities() -> None:
    scores = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    draw = Draw(GenerateOptions(top_k=3), seeds=[0], codebooks=1)
    drawn = [int(draw(torch.zeros(1, 1), scores).argmax()) for _ in range(4000)]
    counts = np.bincount(drawn, minlength=4) / len(drawn)
    assert counts[3] == 0  # not among the three likeliest
    assert counts[:3] == pytest.approx(np.array([0.5, 0.3, 0.15]) / 0.95, abs=0.03)


def test_guidance_pulls_away_from_what_is_likely_without_the_prompt() -> None:
    with_prompt, without = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.2, 0.0]])
    draw = Draw(GenerateOptions(guidance=20.0, top_k=1), seeds=[0], codebooks=1)
    halves = draw(torch.zeros(1, 1), torch.cat([with_prompt, without]))
    assert torch.equal(halves[0], halves[1])
    assert int(halves[0].argmax()) == 1


def test_progress_counts_generated_seconds_to_the_end(musicgen: str) -> None:
    told: list[tuple[float, float]] = []
    make(
        musicgen,
        [PROMPT, OTHER, "rock"],
        batch_size=2,
        on_progress=lambda *seconds: told.append(seconds),
    )
    done, totals = zip(*told, strict=True)
    assert set(totals) == {3.0}
    assert list(done) == sorted(done)
    assert len(set(done)) > 50
    assert done[-1] == 3.0


def test_a_callback_that_raises_stops_the_work_and_the_next_is_as_ever(musicgen: str) -> None:
    def stop(done_seconds: float, _: float) -> None:
        if done_seconds > 0.3:
            raise KeyboardInterrupt

    before = make(musicgen)
    with pytest.raises(KeyboardInterrupt):
        make(musicgen, on_progress=stop)
    assert np.array_equal(make(musicgen).wav, before.wav)


def test_its_files_say_that_they_are_generated(musicgen: str, tmp_path: Path) -> None:
    piece = make(musicgen, seed=7)
    for name in ("piece.wav", "piece.flac", "piece.mp3"):
        tags = read_tags(piece.write(tmp_path / name))
        assert tags["ai-generated"] == ["true"]
        assert tags["model"] == [musicgen]
        assert tags["prompt"] == [PROMPT]
        assert tags["seed"] == ["7"]
        assert tags["weights licence"] == ["CC-BY-NC-4.0"]


def test_a_wav_file_holds_exactly_the_piece(musicgen: str, tmp_path: Path) -> None:
    import soundfile as sf

    piece = make(musicgen)
    wav, rate = sf.read(piece.write(tmp_path / "piece.wav"), dtype="float32", always_2d=True)
    assert rate == 32_000
    assert np.array_equal(wav.T, piece.wav)


def test_provenance_is_enough_to_make_it_again(musicgen: str) -> None:
    piece = make(musicgen, prompt=OTHER, seed=3, guidance=2.0, top_k=50)
    said = piece.provenance()
    assert said["generated"] is True
    again = nitido.generate(
        said["prompt"],
        model=said["model"],
        seed=said["seed"],
        **{key: said["settings"][key] for key in ("seconds", "guidance", "temperature", "top_k")},
    )
    assert np.array_equal(again.wav, piece.wav)


def test_a_restoration_removes_the_comb_and_keeps_the_mark(musicgen: str, tmp_path: Path) -> None:
    path = make(musicgen, seconds=3.0).write(tmp_path / "raw.wav")
    restored = nitido.restore(path, stages=["decomb"])
    assert restored.diagnosis["comb"].severity == "severe"
    assert restored.diagnosis["comb"].details["spacing_hz"] == 400
    assert not restored.after["comb"].found
    assert restored.sidecar()["input"]["tags"]["ai-generated"] == ["true"]
    assert read_tags(restored.write(tmp_path / "restored.wav"))["prompt"] == [PROMPT]


def test_the_licence_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = str(save_musicgen(tmp_path / "own", licence="cc-by-nc-4.0"))
    with caplog.at_level(logging.WARNING, "nitido"):
        make(model, seconds=0.5)
        make(model, seconds=0.5)
    said = [record.getMessage() for record in caplog.records if "Weights of" in record.message]
    assert len(said) == 1
    assert "CC-BY-NC-4.0; not for commercial use" in said[0]


def test_no_weights_are_loaded_twice(musicgen: str) -> None:
    assert load(musicgen) is load(musicgen, device="cpu", dtype="float32")


@pytest.mark.parametrize("prompt", ["", " "])
def test_an_empty_prompt_is_refused(musicgen: str, prompt: str) -> None:
    with pytest.raises(ConfigError, match="The prompt is"):
        make(musicgen, prompt=prompt)


def test_a_prompt_beyond_the_text_encoder_is_refused_not_cut(musicgen: str) -> None:
    fits = "pop " * (PROMPT_TOKENS_MAX - 1)
    make(musicgen, prompt=fits, seconds=0.5)
    with pytest.raises(ConfigError, match=f"{PROMPT_TOKENS_MAX + 1} tokens.*{PROMPT_TOKENS_MAX}"):
        make(musicgen, prompt=fits + "pop")


def test_another_kind_of_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "model.safetensors").write_bytes(b"0")
    with pytest.raises(ConfigError, match="'bert', not a MusicGen"):
        make(str(tmp_path))


def test_damaged_weights_are_said_to_be_damaged(tmp_path: Path) -> None:
    model = save_musicgen(tmp_path / "own")
    (model / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(WeightsError, match="cannot be loaded"):
        make(str(model))


def without(folder: Path, *names: str) -> str:
    """Take the tensors whose name holds one of these words out of a checkpoint."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    kept = {k: t for k, t in load_file(path).items() if not any(name in k for name in names)}
    save_file(kept, path, metadata={"format": "pt"})
    return str(folder)


@pytest.mark.parametrize("kind", [{}, {"stereo": True}, {"melody": True}])
@pytest.mark.parametrize(
    "lost", ["", "lm_heads", "layers.0.codebook.embed", "layers.0.conv.param", "text_encoder"]
)
def test_a_part_that_is_missing_is_not_made_up(
    kind: dict[str, bool], lost: str, tmp_path: Path
) -> None:
    model = without(save_musicgen(tmp_path / "own", **kind), lost)
    with pytest.raises(WeightsError, match="is not complete"):
        make(model)


@pytest.mark.parametrize(
    ("part", "setting", "value", "says"),
    [
        ("decoder", "hidden_size", 2**20, "describes a larger network"),
        ("decoder", "num_hidden_layers", 10**9, "describes a larger network"),
        ("audio_encoder", "codebook_size", 2**40, "describes a larger network"),
        ("text_encoder", "num_layers", 10**9, "describes a larger network"),
        ("decoder", "ffn_dim", 16, "do not have the shapes"),
    ],
)
def test_a_network_that_the_weights_do_not_bear_out_is_refused(
    part: str, setting: str, value: int, says: str, tmp_path: Path
) -> None:
    model = save_musicgen(tmp_path / "own")
    config = json.loads((model / "config.json").read_text())
    config[part][setting] = value
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=says):
        make(str(model))


def test_weights_that_are_not_needed_do_no_harm(musicgen: str, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    model = save_musicgen(tmp_path / "own")
    path = model / "model.safetensors"
    more = {**load_file(path), "extra.weight": torch.zeros(3)}
    save_file(more, path, metadata={"format": "pt"})
    assert np.array_equal(make(str(model)).wav, make(musicgen).wav)


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="cuda, cuda:N, mps or cpu"):
        find_device("gpu")
    with pytest.raises(ConfigError, match="no device 'cuda:99'"):
        find_device("cuda:99")


@pytest.mark.parametrize(
    "full",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_a_full_memory_says_which_knob_to_turn(
    musicgen: str, monkeypatch: pytest.MonkeyPatch, full: Exception
) -> None:
    def generate(**_: Any) -> None:
        raise full

    monkeypatch.setattr(load(musicgen).model, "generate", generate)
    with pytest.raises(DeviceMemoryError, match=r"batch_size=1.*float16.*model=.*seconds="):
        make(musicgen)


def test_other_failures_are_not_taken_for_a_full_memory(
    musicgen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def generate(**_: Any) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(load(musicgen).model, "generate", generate)
    with pytest.raises(RuntimeError, match="shapes") as caught:
        make(musicgen)
    assert not isinstance(caught.value, DeviceMemoryError)


def test_without_the_extra_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nitido.optional.available", lambda module: module != "transformers")
    with pytest.raises(MissingExtraError, match=r"pip install 'nitido\[generate\]'"):
        make("facebook/musicgen-small")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("kind", ["musicgen", "melody_musicgen"])
def test_half_precision_sounds_alike(kind: str, dtype: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(kind)
    exact = make(model, seconds=0.5)
    codec = load(model).model.audio_encoder.state_dict()
    half = make(model, seconds=0.5, dtype=dtype)
    assert half.provenance()["settings"]["dtype"] == dtype
    loaded = load(model, dtype=dtype).model
    assert loaded.decoder.dtype == getattr(torch, dtype)
    assert loaded.text_encoder.dtype == torch.float32
    for name, weight in loaded.audio_encoder.state_dict().items():
        assert torch.equal(weight, codec[name]), name
    assert 20 * np.log10(half.wav.std() / exact.wav.std()) == pytest.approx(0, abs=6)


def test_torchaudio_is_not_needed() -> None:
    assert "torchaudio" not in sys.modules


@pytest.mark.weights
@pytest.mark.parametrize("name", ["facebook/musicgen-small", "facebook/musicgen-stereo-small"])
def test_the_real_checkpoint_makes_music_with_its_comb(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    try:
        load(name)
    except WeightsError as error:
        pytest.skip(str(error))
    piece = nitido.generate("80s pop with heavy synth and drums", model=name, seconds=5.0)
    assert piece.licence == "CC-BY-NC-4.0"
    assert len(piece.revision or "") == 40
    restored = nitido.restore(piece.wav, sample_rate=piece.sample_rate)
    assert restored.diagnosis["comb"].found
    assert not restored.after["comb"].found
