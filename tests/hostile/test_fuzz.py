"""Spoiled files and plans give sound or one clear sentence: never a crash, a hang, a traceback."""

import json
import os
import signal
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from tests.hostile import soak
from tests.hostile.mutations import sounds, spoiled_json, spoiled_sound

from nitido.audio import FileSource
from nitido.cli.restore import read_settings
from nitido.errors import ConfigError, NitidoError
from nitido.restoration.plan import Plan
from nitido.restoration.preset import adjust, load_preset

SHORT = 300
WORDS = st.sampled_from([0, 1, 2, 3, 8, 64, 65, 100, 2**15, 65_535])
LONG_WORDS = st.sampled_from([0, 1, 36, 400, 8000, 48_000, 192_001, 2**31 - 2, 2**31, 2**32 - 1])


@contextmanager
def sentence() -> Iterator[None]:
    """Let pass what succeeds, and an error of one sentence."""
    try:
        yield
    except NitidoError as error:
        if len(str(error)) > 600 or "\n" in str(error):
            raise AssertionError(f"no sentence: {error}") from error


def test_spoiled_files_and_plans_give_sound_or_one_clear_sentence() -> None:
    figures = soak.run(SHORT, seed=1)
    assert figures.faults == []
    assert figures.inputs == SHORT
    assert figures.outcomes["sound accepted"] > SHORT / 20
    assert figures.outcomes["sound refused"] > SHORT / 20
    assert figures.peak_mib < 300


@pytest.mark.soak
def test_a_hundred_thousand_spoiled_inputs_give_sound_or_one_clear_sentence() -> None:
    assert soak.run(100_000, seed=2).faults == []


def misbehave(number: int, seed: int, folder: Path) -> str:
    if number == 1:
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == 3:
        time.sleep(60)
    if number == 5:
        raise ZeroDivisionError("division by zero")
    return "accepted"


def test_the_fuzzer_sees_a_crash_a_hang_and_an_error_that_is_no_sentence() -> None:
    figures = soak.run(7, work=misbehave, hang_seconds=0.5)
    assert figures.outcomes == {
        "FAULT crash": 1,
        "FAULT hang": 1,
        "FAULT ZeroDivisionError": 1,
        "accepted": 4,
    }
    assert [fault[:7] for fault in figures.faults] == ["1: cras", "3: hang", "5: FAUL"]


def test_the_same_seed_spoils_in_the_same_way() -> None:
    assert [spoiled_sound(n, 5) for n in range(30)] == [spoiled_sound(n, 5) for n in range(30)]
    contents = [spoiled_sound(n, 5)[1] for n in range(30)]
    assert not set(contents) & {content for _, content in sounds()}
    assert len(set(contents)) == 30


@given(
    kind=st.sampled_from([0, 1, 2, 3, 6, 7, 17, 49, 80, 0xFFFE, 65_535]),
    channels=WORDS,
    sample_rate=LONG_WORDS,
    bits=st.sampled_from([0, 1, 8, 12, 16, 24, 32, 64, 65_535]),
    frame_bytes=WORDS,
    riff_bytes=LONG_WORDS,
    sound_bytes=LONG_WORDS,
    magic=st.sampled_from([b"RIFF", b"RIFX", b"RF64"]),
    sound=st.sampled_from([b"", bytes(3), bytes(400), b"\xff" * 4001]),
)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_header_may_claim_anything(tmp_path: Path, **claims: object) -> None:
    order = ">" if claims["magic"] == b"RIFX" else "<"
    fields = [claims[name] for name in ("kind", "channels", "sample_rate")]
    content = b"".join(
        [
            bytes(claims["magic"]),  # type: ignore[call-overload]
            struct.pack(f"{order}I4s4sI", claims["riff_bytes"], b"WAVE", b"fmt ", 16),
            struct.pack(f"{order}HHI", *fields),
            struct.pack(f"{order}IHH", 0, claims["frame_bytes"], claims["bits"]),
            b"data",
            struct.pack(f"{order}I", claims["sound_bytes"]),
            bytes(claims["sound"]),  # type: ignore[call-overload]
        ]
    )
    path = tmp_path / "song.wav"
    path.write_bytes(content)
    with sentence():
        source = FileSource(path)
        assert sum(block.shape[1] for block in source.blocks()) == source.samples
        assert 0 < source.samples * source.channels <= 8 * len(content)
        assert source.sample_rate == claims["sample_rate"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
STEP = st.fixed_dictionaries(
    {},
    optional={
        "stage": st.sampled_from(["decomb", "loudness", "dc", "nothing"]) | JSON,
        "on": JSON,
        "settings": st.dictionaries(
            st.sampled_from(["amount", "lines_hz", "lines_db", "offset", "target_lufs"]), JSON
        ),
        "reason": JSON,
    },
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "format": JSON,
            "preset": JSON,
            "sample_rate": st.integers() | JSON,
            "budget_db": JSON,
            "budgets_db": JSON,
            "steps": st.lists(STEP, max_size=3) | JSON,
            "plan": JSON,
        },
    )
)
@settings(max_examples=300, deadline=None)
def test_a_plan_of_any_json_is_read_or_refused_in_one_sentence(content: object) -> None:
    with sentence():
        plan = Plan.from_json(json.dumps(content))
        assert Plan.from_json(plan.to_json()) == plan
        json.dumps(plan.to_dict(), allow_nan=False)


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_a_setting_of_any_text_is_read_or_refused(text: str) -> None:
    for setting in (text, f"decomb.{text}", f"decomb.amount={text}", f"dc.offset={text}"):
        with sentence():
            adjust(load_preset("musicgen"), settings=read_settings([setting]))


@pytest.mark.parametrize("number", ["1" + "0" * 400, "1e999", "-1e999", "NaN", "Infinity"])
def test_a_number_that_no_float_holds_is_refused(number: str) -> None:
    for text in (
        f'{{"steps": [], "budget_db": {number}}}',
        f'{{"steps": [], "sample_rate": {number}}}',
        f'{{"steps": [{{"stage": "decomb", "settings": {{"amount": {number}}}}}]}}',
        f'{{"steps": [{{"stage": "dc", "settings": {{"offset": [{number}]}}}}]}}',
    ):
        with pytest.raises(ConfigError):
            Plan.from_json(text)


def test_what_is_spoiled_in_json_differs_from_what_was_there() -> None:
    content = {"a": [1, 2.5, {"b": "c"}], "d": None}
    texts = {spoiled_json(content, soak.np.random.default_rng(n)) for n in range(50)}
    assert len(texts) > 40
    assert len([text for text in texts if text != json.dumps(content, indent=1)]) > 40
