"""What can be asked of the generator, and how a file of prompts is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from nitido.errors import AudioReadError, ConfigError
from nitido.generation.settings import GenerateOptions, Request, read_requests

DEFAULT = Request("any", seed=3, seconds=12.0)


@pytest.mark.parametrize("prompt", ["", "  \n", None])
def test_music_needs_words(prompt: Any) -> None:
    with pytest.raises(ConfigError, match="The prompt is"):
        Request(prompt)


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"seed": -1}, "between 0"),
        ({"seed": 1.5}, "whole number"),
        ({"seed": True}, "whole number"),
        ({"seconds": 0.1}, "between 0.5"),
        ({"seconds": float("nan")}, "a number"),
        ({"seconds": "10"}, "a number"),
    ],
)
def test_a_value_that_cannot_be_is_refused(wrong: dict[str, Any], rule: str) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is .*{rule}"):
        Request("pop", **wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"guidance": 0.5}, {"temperature": 0}, {"top_k": -1}, {"top_k": 2.5}, {"batch_size": 0}],
)
def test_a_setting_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is"):
        GenerateOptions(**wrong)


def test_a_melody_for_a_checkpoint_known_to_take_none_is_refused_before_any_download() -> None:
    with pytest.raises(ConfigError, match="takes no melody"):
        GenerateOptions(model="facebook/musicgen-large", melody="tune.wav")


def test_a_text_file_has_a_prompt_in_each_line(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes("\ufeffslow jazz\r\n\r\n  schnelle Töne \r\n".encode())
    assert read_requests(path, DEFAULT) == [
        Request("slow jazz", 3, 12.0),
        Request("schnelle Töne", 3, 12.0),
    ]


def test_a_json_line_may_have_its_own_seed_and_length(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "jazz", "seconds": 20}\n{"prompt": "pop", "seed": 9}\n')
    assert read_requests(path, DEFAULT) == [Request("jazz", 3, 20), Request("pop", 9, 12.0)]


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ('{"prompt": "x", "sede": 1}', "'sede' is not known"),
        ('{"prompt": "x"', "no JSON"),
        ('{"seed": 1}', 'no "prompt"'),
        ('{"prompt": " "}', "The prompt is"),
        ('{"prompt": "x", "seed": "1"}', "whole number"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, rule: str) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text(f'{{"prompt": "fine"}}\n\n{line}\n')
    with pytest.raises(ConfigError, match=f"line 3: .*{rule}"):
        read_requests(path, DEFAULT)


def test_a_file_without_prompts_or_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes(b"\n\n")
    with pytest.raises(ConfigError, match="no prompt in"):
        read_requests(path, DEFAULT)
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(AudioReadError, match="not text in UTF-8"):
        read_requests(path, DEFAULT)
    with pytest.raises(AudioReadError, match="does not exist"):
        read_requests(tmp_path / "missing.txt", DEFAULT)


def test_a_pipe_of_prompts_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "prompts.txt")
    with pytest.raises(AudioReadError, match="not a regular file"):
        read_requests(tmp_path / "prompts.txt", Request("any", 0, 10.0))
