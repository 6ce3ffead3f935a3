"""The site: every stage and every finding has its page, those included that are new."""

import json
from pathlib import Path
from typing import ClassVar

import pytest

import nitido
from nitido.demo.render import render
from nitido.restoration.registry import STAGES
from nitido.restoration.setting import Setting
from nitido.restoration.stages.dc import Dc
from nitido_lab import site

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("site") / "pages"
    site.write_pages(ROOT, place, sounds=False)
    return place


def test_every_stage_and_every_finding_has_a_page_in_the_menu(folder: Path) -> None:
    kinds = {one.kind for one in nitido.diagnose(render(seconds=1), sample_rate=48_000).findings}
    wanted = {f"docs/stages/{name}.md" for name in STAGES}
    wanted |= {f"docs/findings/{kind}.md" for kind in kinds}
    nav = json.loads((folder / site.CONFIG).read_text("utf-8"))["nav"]
    listed = {place for group in nav for places in group.values() for place in places}
    assert wanted <= listed
    assert all((folder / "docs" / place).is_file() for place in listed)
    overview = (folder / "docs" / "docs" / "stages.md").read_text("utf-8")
    assert all(f"](stages/{name}.md)" in overview for name in STAGES)


def test_nothing_is_told_of_a_stage_or_a_fault_that_is_not_there() -> None:
    told = site.sections((ROOT / "docs" / "stages.md").read_text("utf-8"))
    assert set(told) | set(site.SHOWN_WITH) | set(site.NOT_SHOWN) <= set(STAGES)
    assert set(site.SHOWN_WITH.values()) <= {one.fault for one in site.clips()}
    kinds = {finding.kind for finding in site.clips()[0].diagnosis.findings}
    assert set(site.sections((ROOT / "docs" / "findings.md").read_text("utf-8"))) <= kinds


def test_every_stage_is_told_with_when_not_to_use_it_and_every_finding_with_what_it_is() -> None:
    stages = site.sections((ROOT / "docs" / "stages.md").read_text("utf-8"))
    assert [name for name in STAGES if "**Not for**" not in stages.get(name, "")] == []
    findings = site.sections((ROOT / "docs" / "findings.md").read_text("utf-8"))
    assert {finding.kind for finding in site.clips()[0].diagnosis.findings} == set(findings)


def test_every_finding_and_every_stage_has_a_clip_that_brings_it_on() -> None:
    clean, *_ = site.clips()
    assert [one.kind for one in clean.diagnosis.findings if not site._spoilt_of(one.kind)] == []
    for name, stage in STAGES.items():
        shown = site._comes_on(stage, site._spoilt_for(stage))
        assert shown != (name in site.NOT_SHOWN)


def test_of_a_finding_only_the_stages_are_named_that_it_brings_on_by_itself() -> None:
    page = site.finding_page("mud", words="", changes="")  # the clip's end breaks off, too
    assert page.endswith("because of that fault: [demud](../stages/demud.md).\n")


def test_a_page_names_every_setting_that_can_be_set(folder: Path) -> None:
    for name, stage in STAGES.items():
        page = (folder / "docs" / "docs" / "stages" / f"{name}.md").read_text("utf-8")
        shown = {key for key in stage.schema if f"`{name}.{key}`" in page}
        assert shown == {key for key, one in stage.schema.items() if not one.measured}


def test_a_budget_is_told_where_it_bounds_anything() -> None:
    pages = {
        name: site.stage_page(STAGES[name], words="", changes="")
        for name in ("decomb", "deess", "stereo")
    }
    assert "At least 27 dB between what it changes" in pages["decomb"]
    assert "; at most 0.1 sone of music taken." in pages["deess"]
    assert "## Budget" not in pages["stereo"]


def test_a_stage_of_which_nothing_is_written_yet_is_told_by_its_source() -> None:
    class Denoise(Dc):
        """New."""

        name = "denoise"
        schema: ClassVar = {"amount": Setting(1.0, "how much of it goes", (0.0, 1.0))}

    page = site.stage_page(Denoise, words="", changes="## [Unreleased]\n- `denoise`")
    assert "constant offset" in page  # the docstring of the module that it stands in
    assert "| `denoise.amount` | 1 | 0 … 1 | how much of it goes |" in page
    assert "Since: the next version." in page


def test_a_clip_of_a_stage_lies_beside_its_page(tmp_path: Path) -> None:
    shown = site._stage_clip(STAGES["decomb"], tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "decomb-before.mp3", "decomb-after.mp3", "decomb-removed.mp3", "decomb.png",
    }  # fmt: skip
    for path in tmp_path.iterdir():
        assert path.name in shown
