"""What is chosen on the page is what the plan does."""

from dataclasses import replace

import pytest
from tests.signals import noise, silence

import nitido
from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.loop import Loop
from nitido.errors import ConfigError
from nitido.restoration.registry import STAGES as REGISTERED
from nitido.web.choices import FINDINGS, PRESETS, STAGES, Choices, slider


@pytest.fixture(scope="module")
def diagnosis() -> Diagnosis:
    return nitido.diagnose(noise(seconds=2.0, sample_rate=32_000), sample_rate=32_000)


def test_without_a_hand_the_plan_is_that_of_the_preset(diagnosis: Diagnosis) -> None:
    for preset in PRESETS:
        assert Choices(preset=preset).options.plan_for(diagnosis) == nitido.plan(
            diagnosis, preset=preset
        )


def test_a_switch_and_a_slider_change_their_stage_and_no_other(diagnosis: Diagnosis) -> None:
    before = Choices().options.plan_for(diagnosis)
    after = Choices(settings={"width.mode": "off", "bandwidth.amount": 0.5}).options.plan_for(
        diagnosis
    )
    assert before["width"].on
    assert not after["width"].on
    assert after["bandwidth"].settings["amount"] == 0.5
    changed = {"width", "bandwidth", "loudness"}  # mono that is widened plays louder
    assert [step for step in before.steps if step.stage not in changed] == [
        step for step in after.steps if step.stage not in changed
    ]


def test_a_stage_that_the_preset_leaves_off_can_be_switched_on(diagnosis: Diagnosis) -> None:
    assert not Choices().options.plan_for(diagnosis)["match"].on
    assert Choices(settings={"match.mode": "on"}).options.plan_for(diagnosis)["match"].on


def test_every_slider_moves_within_what_its_stage_takes(diagnosis: Diagnosis) -> None:
    plan = Choices().options.plan_for(diagnosis)
    for made in filter(None, (slider(plan[stage]) for stage in STAGES)):
        stage, _, setting = made["name"].partition(".")
        low, high = REGISTERED[stage].schema[setting].range or (0.0, 0.0)
        assert low <= made["low"] <= made["value"] <= made["high"] <= high, stage
        assert made["low"] < made["high"]
    loudness = slider(plan["loudness"])
    assert loudness is not None
    assert loudness["shown"] == "−14 LUFS"


@pytest.mark.parametrize(
    ("choices", "loop"),
    [
        (Choices(), True),  # as the file says
        (Choices(settings={"ending.loop": False}), False),
        (Choices(settings={"ending.mode": "on"}), False),
        (Choices(settings={"ending.mode": "off"}), True),
    ],
)
def test_a_piece_is_a_loop_as_it_says_until_its_ends_are_to_be_mended(
    diagnosis: Diagnosis, choices: Choices, loop: bool
) -> None:
    said = replace(diagnosis, loop=Loop(0, diagnosis.samples))
    assert choices.options.plan_for(said).loop == loop
    assert Choices(settings={"ending.loop": True}).options.plan_for(diagnosis).loop


def test_choices_come_back_as_they_were_shown() -> None:
    settings = {"width.mode": "on", "loudness.target_lufs": -16.0}
    choices = Choices(preset="gentle", settings=settings)
    assert Choices.model_validate_json(choices.model_dump_json()) == choices


@pytest.mark.parametrize(
    ("preset", "settings"),
    [
        ("demucs", {}),
        ("../secret", {}),
        ("musicgen", {"stems.mode": "on"}),
        ("musicgen", {"demucs.model": "x"}),
        ("musicgen", {"width.mode": 1}),
        ("musicgen", {"width": 1}),
        ("musicgen", {"dc.amount": 1.0}),
        ("musicgen", {"bandwidth.amount": 1e9}),
        ("musicgen", {"bandwidth.amount": float("nan")}),
        ("musicgen", {"bandwidth.amount": "1"}),
        ("musicgen", {"ending.loop": "yes"}),
    ],
)
def test_what_the_page_does_not_have_or_would_ask_another_host_is_refused(
    preset: str, settings: dict[str, object]
) -> None:
    with pytest.raises(ConfigError):
        _ = Choices(preset=preset, settings=settings).options


def test_everything_has_a_musician_s_name() -> None:
    diagnosis = nitido.diagnose(silence(seconds=1.0), sample_rate=48_000)
    assert {finding.kind for finding in diagnosis.findings} == set(FINDINGS)
    assert all(words["title"] and words["repair"] for words in STAGES.values())
