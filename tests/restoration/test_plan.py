from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.signals import noise

import nitido
from nitido.audio import ArraySource
from nitido.audio.tags import Tags
from nitido.demo.comb import add_comb
from nitido.dsp.spectral import lower_ceiling
from nitido.errors import ConfigError
from nitido.restoration.plan import Plan
from nitido.restoration.preset import adjust, load_preset, preset_names
from nitido.restoration.registry import STAGES


@pytest.fixture(scope="module")
def plan() -> Plan:
    return nitido.plan(nitido.diagnose(noise(seconds=1, sample_rate=32_000), sample_rate=32_000))


def test_a_plan_names_every_stage_with_a_reason(plan: Plan) -> None:
    assert [step.stage for step in plan.steps] == list(STAGES)
    assert [bool(step.reason) for step in plan.steps] == [True] * len(STAGES)


def test_a_plan_survives_json(plan: Plan) -> None:
    assert Plan.from_json(plan.to_json()) == plan


def test_a_sidecar_can_be_given_as_a_plan(plan: Plan) -> None:
    assert Plan.from_json(json.dumps({"nitido": "1", "plan": plan.to_dict()})) == plan


def test_stages_that_a_plan_does_not_name_are_off() -> None:
    plan = Plan.from_json('{"steps": [{"stage": "match", "settings": {"amount": 0.5}}]}')
    assert [step.stage for step in plan.steps if step.on] == ["match"]
    assert plan["match"].settings["amount"] == 0.5
    assert plan["match"].settings["target_db"] == STAGES["match"].defaults["target_db"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "JSON"),
        ("[]", "not a plan"),
        ("[" * 100_000, "JSON"),
        ('{"steps": 3}', "not a plan"),
        ('{"steps": [], "stepz": 1}', "did you mean 'steps'"),
        ('{"steps": [], "format": 99}', "format"),
        ('{"steps": [], "sample_rate": "48k"}', "sample_rate"),
        ('{"steps": [], "sample_rate": 1}', "1 Hz"),
        ('{"steps": [{"stage": "decom"}]}', "did you mean 'decomb'"),
        ('{"steps": [{"stage": "match"}, {"stage": "match"}]}', "twice"),
        ('{"steps": [{"stage": "match", "on": 1}]}', "true or false"),
        ('{"steps": [{"stage": "match", "settings": {"amont": 1}}]}', "did you mean 'amount'"),
        ('{"steps": [{"stage": "match", "settings": {"amount": "a"}}]}', "number"),
        ('{"steps": [{"stage": "match", "settings": {"amount": 99}}]}', "between"),
        ('{"steps": [{"stage": "match", "settings": {"amount": NaN}}]}', "number"),
        ('{"steps": [{"stage": "decomb", "settings": {"lines_hz": ["a"]}}]}', "list of numbers"),
        ('{"steps": [{"stage": "decomb", "settings": {"lines_hz": [1, 2]}}]}', "lines_db"),
        ('{"steps": [], "budget_db": "much"}', "budget"),
        ('{"steps": [], "budgets_db": {"mach": 1}}', "did you mean 'match'"),
    ],
)
def test_a_wrong_plan_is_refused_in_one_sentence(content: str, says: str) -> None:
    with pytest.raises(nitido.NitidoError, match=says) as caught:
        Plan.from_json(content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_says_what_it_is_for(name: str) -> None:
    preset = load_preset(name)
    assert preset.description.endswith(".")
    assert set(preset.stages) == set(STAGES)


@pytest.mark.parametrize(
    ("channels", "sample_rate", "ends_hz", "tags", "preset", "why"),
    [
        (2, 48_000, 20_000, {}, "song", "nothing in it is MusicGen's"),
        (1, 48_000, 20_000, {}, "song", "nothing in it is MusicGen's"),
        (2, 48_000, 15_500, {}, "song", "nothing in it is MusicGen's"),
        (2, 32_000, 16_000, {}, "musicgen", "it comes at 32 kHz"),
        (1, 44_100, 15_500, {}, "musicgen", "it is mono and has nothing above 16 kHz"),
        (2, 48_000, 20_000, {"comment": ["AI-generated with facebook/musicgen-small"]}, "musicgen",
         "its tags name MusicGen"),
        (1, 32_000, 15_500, {"comment": ["Made with Suno"]}, "song", "its tags name Suno"),
        (2, 48_000, 20_000, {"title": ["Musicgen"], "encoder": ["audio"]}, "song", "nothing"),
    ],
)  # fmt: skip
def test_auto_takes_musicgen_for_what_musicgen_made_and_song_for_all_else(
    channels: int, sample_rate: int, ends_hz: int, tags: Tags, preset: str, why: str
) -> None:
    wav = noise(seconds=3, sample_rate=sample_rate, channels=channels)
    wav = lower_ceiling(wav, sample_rate=sample_rate, ceiling_hz=ends_hz)
    plan = nitido.plan(nitido.diagnose(ArraySource(wav, sample_rate, tags=tags)))
    assert plan.preset == preset
    assert why in plan.preset_reason
    assert Plan.from_json(plan.to_json()) == plan
    asked = nitido.plan(nitido.diagnose(wav, sample_rate=sample_rate), preset="gentle")
    assert asked.preset_reason == ""


def test_stereo_with_a_strong_comb_and_no_treble_is_musicgen_s() -> None:
    hiss = lower_ceiling(noise(seconds=6, channels=2), sample_rate=48_000, ceiling_hz=15_800.0)
    plan = nitido.plan(nitido.diagnose(add_comb(hiss, sample_rate=48_000), sample_rate=48_000))
    assert (plan.preset, plan.preset_reason) == (
        "musicgen", "its comb is that of MusicGen's decoder",
    )  # fmt: skip


def test_an_unknown_preset_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'musicgen'"):
        load_preset("musicgenn")


def test_named_stages_run_and_others_do_not() -> None:
    chosen = adjust(load_preset("musicgen"), stages=["match", "decomb"], without=["decomb"])
    modes = {name: stage.mode for name, stage in chosen.stages.items() if stage.mode != "off"}
    assert modes == {"match": "on"}  # off in the preset, but asked for by name


def test_a_stage_that_is_left_out_does_not_come_back_through_its_settings() -> None:
    chosen = adjust(load_preset("song"), without=["match"], settings={"match.mode": "on"})
    assert chosen.stages["match"].mode == "off"


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"stages": ["mach"]}, "did you mean 'match'"),
        ({"without": ["xyz"]}, "there are"),
        ({"settings": {"match.amont": 1.0}}, "did you mean 'amount'"),
        ({"settings": {"match.amount": 7.0}}, "between"),
        ({"settings": {"match.amount": True}}, "a number between 0 and 1"),
        ({"settings": {"decomb.rms_db": -20.0}}, "measured on each piece"),
        ({"settings": {"ending.loop": 1.0}}, "switch"),
        ({"settings": {"match.mode": "maybe"}}, "auto, on or off"),
        ({"settings": {"mach.amount": 1.0}}, "did you mean 'match'"),
    ],
)
def test_a_wrong_choice_is_refused(choice: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        adjust(load_preset("musicgen"), **choice)


def test_settings_that_belong_together_are_checked_together() -> None:
    given = {"stereo.side_hz": [30.0, 150.0], "stereo.side_db": [-60.0, 0.0]}
    settings = adjust(load_preset("song"), settings=given).stages["stereo"].settings
    assert [settings["side_hz"], settings["side_db"]] == list(given.values())


def test_a_step_can_be_replaced_without_touching_the_plan(plan: Plan) -> None:
    changed = plan.with_step(replace(plan["match"], on=True))
    assert changed["match"].on
    assert not plan["match"].on
