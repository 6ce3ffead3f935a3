"""What is chosen on the page is what the plan does."""

from dataclasses import replace

import pytest
from tests.signals import noise

import nitido
from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.loop import Loop
from nitido.errors import ConfigError
from nitido.restoration.registry import STAGES as REGISTERED
from nitido.restoration.restore_options import RestoreOptions
from nitido.web.choices import AMOUNTS, PRESETS, STAGES, choose, read, shown


@pytest.fixture(scope="module")
def diagnosis() -> Diagnosis:
    return nitido.diagnose(noise(seconds=2.0, sample_rate=32_000), sample_rate=32_000)


def test_without_a_hand_the_plan_is_that_of_the_preset(diagnosis: Diagnosis) -> None:
    for preset in PRESETS:
        assert choose(preset).plan_for(diagnosis) == nitido.plan(diagnosis, preset=preset)


def test_a_switch_and_a_slider_change_their_stage_and_no_other(diagnosis: Diagnosis) -> None:
    before = choose().plan_for(diagnosis)
    after = choose(switches={"width": False}, amounts={"bandwidth": 0.5}).plan_for(diagnosis)
    assert before["width"].on
    assert not after["width"].on
    assert after["bandwidth"].settings["amount"] == 0.5
    changed = {"width", "bandwidth", "loudness"}  # mono that is widened plays louder
    assert [step for step in before.steps if step.stage not in changed] == [
        step for step in after.steps if step.stage not in changed
    ]


def test_a_stage_that_the_preset_leaves_off_can_be_switched_on(diagnosis: Diagnosis) -> None:
    assert not choose().plan_for(diagnosis)["tone"].on
    assert choose(switches={"tone": True}).plan_for(diagnosis)["tone"].on


def test_every_slider_moves_within_what_its_stage_takes() -> None:
    for stage, amount in AMOUNTS.items():
        low, high = REGISTERED[stage].schema[amount.setting].range
        assert low <= amount.low < amount.high <= high, stage
    assert set(AMOUNTS) <= set(STAGES) <= set(REGISTERED)


@pytest.mark.parametrize(
    ("choices", "loop"),
    [
        (choose(), True),  # as the file says
        (choose(loop=False), False),
        (choose(switches={"ending": True}), False),
        (choose(switches={"ending": False}), True),
    ],
)
def test_a_piece_is_a_loop_as_it_says_until_its_ends_are_to_be_mended(
    diagnosis: Diagnosis, choices: RestoreOptions, loop: bool
) -> None:
    said = replace(diagnosis, loop=Loop(0, diagnosis.samples))
    assert choices.plan_for(said).loop == loop
    assert choose(loop=True).plan_for(diagnosis).loop


def test_choices_come_back_as_they_were_shown() -> None:
    choices = choose("gentle", switches={"width": True}, amounts={"loudness": -16.0}, loop=True)
    assert read(shown(choices)) == choices


@pytest.mark.parametrize(
    "sent",
    [
        None,
        [],
        {"preset": "demucs"},
        {"preset": "../secret"},
        {"switches": {"stems": True}},
        {"switches": {"width": "on"}},
        {"switches": [1]},
        {"amounts": {"dc": 1.0}},
        {"amounts": {"bandwidth": 1e9}},
        {"amounts": {"bandwidth": float("nan")}},
        {"amounts": {"bandwidth": "1"}},
        {"loop": "yes"},
    ],
)
def test_what_the_page_would_never_send_is_refused(sent: object) -> None:
    with pytest.raises(ConfigError):
        read(sent)


@pytest.mark.parametrize("given", [{"stems.mode": "on"}, {"demucs.model": "x"}, {"width": 1}])
def test_a_program_cannot_reach_what_would_ask_another_host(given: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        choose(settings=given)
