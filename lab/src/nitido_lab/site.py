"""The site: the pages of the repository, and one of each stage and finding, with clips to hear.

The repository's pages keep their places, so that their links hold. What stands on a page of a stage
comes from its schema, from `docs/stages.md`, from the changelog, and from a clip that is made,
spoilt and restored here; likewise for findings. Nothing of it is committed.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import nitido
from nitido.audio import write, write_text
from nitido.demo import DECODER_HZ, add_artifacts
from nitido.demo.comb import add_comb
from nitido.demo.render import render
from nitido.diagnosis.finding import SEVERITIES
from nitido.dsp.spectral import lower_ceiling
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError
from nitido.report.figures import comparison_figure
from nitido.report.formatting import amount, setting
from nitido.report.tracks import Track
from nitido.restoration.registry import STAGES
from nitido.restoration.stage import Budget, Remedy
from nitido_lab.degradation.add_artifacts import clip, lose_level
from nitido_lab.degradation.lossy import mp3
from nitido_lab.degradation.recipe import PLANTED, plant
from nitido_lab.listening import PAIRS, PASSAGE_SECONDS, write_pairs_test

CONFIG = "mkdocs.yml"
RATE = 48_000
SECONDS, LONG_SECONDS = 8.0, 16.0  # of the clip; of one of which mud and harshness can be told
DULL = "12 dB less from 1 to 8 kHz"
MUDDY = "much more from 200 to 500 Hz"
RINGING = "places from 2 to 5 kHz that ring"
CODED = "an MP3's 64 kbit/s"
ASKED = "asked for, although"  # how the reason of a stage begins that would not run by itself
# Stages that none of these clips brings on, with what they are for.
SHOWN_WITH = {
    "deharsh": RINGING,
    "demud": MUDDY,
    "deshimmer": CODED,
    "match": DULL,
}
NOT_SHOWN = {"stems": "No clip: the weights of Demucs would have to be fetched to make one."}
PICTURE_DPI = 70
PAGES = ("*.md", "docs/**/*.md", "lab/*.md", "integrations/*/*.md", "src/nitido/weights/*.md")
NAV = {  # what is in none of these, and in docs/, comes under Background
    "Start": ["README.md", "docs/install.md", "docs/recipes.md", "docs/report.md", "docs/web.md"],
    "Stages": ["docs/stages.md"],
    "Findings": ["docs/findings.md", "docs/generators.md"],
    "More": [
        *("docs/many-files.md", "docs/generate.md", "docs/loops.md", "docs/formats.md"),
        "docs/agents.md",
        "integrations/comfyui/README.md",
    ],
    "Background": ["docs/how-it-works.md", "docs/glossary.md", "docs/metrics.md"],
    "Develop": ["docs/architecture.md", "CONTRIBUTING.md", "lab/README.md", "CHANGELOG.md"],
}
STYLE = """\
.md-grid { max-width: 76rem; }
.sounds { display: flex; flex-wrap: wrap; column-gap: 1.5rem; }
.sounds audio { width: 13.5rem; }
.md-typeset td code { white-space: nowrap; }
"""
THEME = {
    "name": "material",
    "icon": {"logo": "material/waveform"},
    "font": False,  # no other host is asked
    "features": ["navigation.tabs", "navigation.indexes", "content.code.copy"],
    "palette": [
        {"media": f"(prefers-color-scheme: {scheme})", "scheme": name, "primary": "white"}
        for scheme, name in (("light", "default"), ("dark", "slate"))
    ],
}


# ── The clip, and what is wrong with it ──────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Clip:
    """The piece of the demo, spoilt or as it should be.

    Attributes:
        fault: what was done to it; empty: nothing.
        wav: `[2, T]`.
        diagnosis: of it.
        clean: the same without the fault; None if it is that.
    """

    fault: str
    wav: Wav
    diagnosis: nitido.Diagnosis
    clean: Clip | None = None

    @property
    def wrong(self) -> set[str]:
        """The kinds of findings that are not as they should be."""
        return {finding.kind for finding in self.diagnosis.findings if finding.found}


@cache
def clips() -> tuple[Clip, ...]:
    """Return the clip as it should be, then with each fault."""
    made = []
    for seconds, faults in ((SECONDS, _faults), (LONG_SECONDS, _faults_of_long)):
        clean = _clip("", render(seconds=seconds))
        made += [clean, *(_clip(fault, wav, clean) for fault, wav in faults(clean.wav))]
    return tuple(made)


def _clip(fault: str, wav: Wav, clean: Clip | None = None) -> Clip:
    return Clip(fault, np.nan_to_num(wav), nitido.diagnose(wav, sample_rate=RATE), clean)


def _faults(clean: Wav) -> Iterator[tuple[str, Wav]]:
    """Yield the clip with one fault each, by what was done to it."""
    time = np.arange(clean.shape[1], dtype=np.float32) / np.float32(RATE)
    yield "the lines of a decoder", add_comb(clean, sample_rate=RATE, level_db=6.0)
    yield "nothing above 12 kHz", lower_ceiling(clean, sample_rate=RATE, ceiling_hz=12_000.0)
    yield "peaks cut off by 6 dB", clip(clean, sample_rate=RATE, over_db=6.0)
    yield "a constant offset", 0.8 * clean + np.float32(0.1)
    yield "a rumble at 12 Hz", 0.6 * clean + np.float32(0.3) * np.sin(75.4 * time, dtype=np.float32)
    yield "no sides (mono)", np.repeat(clean.mean(axis=0, keepdims=True), 2, axis=0)
    yield "an end in mid-note", clean[:, : 5 * RATE]
    yield "a level 20 dB lower", 0.1 * clean
    yield "a start in mid-note", clean[:, round(1.45 * RATE) :]
    yield "nothing above 1 kHz", lower_ceiling(clean, sample_rate=RATE, ceiling_hz=1000.0)
    yield CODED, mp3(clean, sample_rate=RATE, kbps=64)
    yield DULL, lose_level(clean, sample_rate=RATE, level_db=12.0)
    yield "one side upside down", clean * np.array([[1], [-1]], np.float32)
    for fault, value in (("dropouts", 0.0), ("samples that are no numbers", np.nan)):
        holed = clean.copy()
        for start in (1.2, 2.31, 3.7):
            holed[:, round(start * RATE) : round((start + 0.05) * RATE)] = value
        yield fault, holed
    for fault in PLANTED:
        yield fault, plant(fault, clean, sample_rate=RATE, strength="severe")


def _faults_of_long(clean: Wav) -> Iterator[tuple[str, Wav]]:
    """Yield what is only told of longer pieces."""
    once = plant("mud", clean, sample_rate=RATE, strength="severe")
    yield MUDDY, plant("mud", once, sample_rate=RATE, strength="severe")
    yield RINGING, plant("harshness", clean, sample_rate=RATE, strength="severe")


def _spoilt_for(stage: type[Remedy]) -> Clip:
    """Return the clip for which a stage comes on, with as little else wrong as can be."""
    clean, spoilt = clips()[0], _spoilt()
    fault = SHOWN_WITH.get(stage.name)
    needs = [one for one in spoilt if _comes_on(stage, one)]
    if fault is not None:
        needs = [one for one in spoilt if one.fault == fault]
    elif _comes_on(stage, clean):  # for what is asked, not for a fault
        needs = [one for one in needs if stage.name in one.wrong]
    return min(needs, key=lambda one: len(one.wrong), default=clean)


def _spoilt() -> list[Clip]:
    return [one for one in clips() if one.clean]


def _comes_on(stage: type[Remedy], one: Clip) -> bool:
    """Return whether a stage finds something to do, and would not run only as it was asked to."""
    step = nitido.plan(one.diagnosis, stages=[stage.name])[stage.name]
    return step.on and not step.reason.startswith(ASKED)


def _spoilt_of(kind: str) -> Clip | None:
    """Return the clip of which a finding says most; None if it says nothing of any."""
    found = [one for one in _spoilt() if kind in one.wrong]
    return max(
        found,
        key=lambda one: (SEVERITIES.index(one.diagnosis[kind].severity), -len(one.wrong)),
        default=None,
    )


# ── Pages ────────────────────────────────────────────────────────────────────────────────────────


def stage_page(stage: type[Remedy], *, words: str, changes: str, clip: str = "") -> str:
    """Return the page of a stage.

    Args:
        stage: to describe.
        words: about it, from `docs/stages.md`; empty: what its source says.
        changes: the changelog.
        clip: Markdown of what is heard and seen.
    """
    said = words or (sys.modules[stage.__module__].__doc__ or "")
    rows = [
        f"| `{stage.name}.{key}` | {_default(one.default)} | {_limits(one)} | {one.doc} |"
        for key, one in stage.schema.items()
        if not one.measured
    ]
    settings = ["| setting | default | range | meaning |", "| --- | --- | --- | --- |", *rows]
    parts = [
        f"# {stage.name}",
        f"*{stage.summary[:1].upper()}{stage.summary[1:]}.* Since: {since(stage.name, changes)}.",
        said.strip(),
        clip,
        "## Settings",
        *(["\n".join(settings)] if rows else ["None."]),
        f"`nitido restore song.wav --set {stage.name}.SETTING=VALUE` changes one, `--without "
        f"{stage.name}` leaves the stage out, `--stages {stage.name}` runs it alone.",
        _budget(stage.budget),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def finding_page(kind: str, *, words: str, changes: str, clip: str = "") -> str:
    """Return the page of a finding; the arguments are those of `stage_page`."""
    spoilt = _spoilt_of(kind)
    clean = (spoilt and spoilt.clean) or clips()[0]
    rows = [("the clip as it should be", clean.diagnosis[kind])]
    mended: list[str] = []
    if spoilt is not None:
        rows.append((f"with {spoilt.fault}", spoilt.diagnosis[kind]))
        alone = tuple(
            (spoilt if f.kind == kind else clean).diagnosis[f.kind]
            for f in clean.diagnosis.findings
        )
        was_on = {step.stage for step in nitido.plan(clean.diagnosis).steps if step.on}
        steps = nitido.plan(replace(clean.diagnosis, findings=alone)).steps
        mended = [step.stage for step in steps if step.on and step.stage not in was_on]
    lines = [
        f"| {name} | {amount(one)} | {one.severity} | {one.summary} | {one.compared_with or '–'} |"
        for name, one in rows
    ]
    table = ["| | how much | severity | in words | held against |", "|" + " --- |" * 5, *lines]
    links = ", ".join(f"[{name}](../stages/{name}.md)" for name in mended)
    parts = [
        f"# {kind}",
        f"Since: {since(kind, changes)}.",
        words.strip(),
        clip,
        "## Measured",
        "\n".join(table),
        f"What runs because of that fault: {links}." if links else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def sections(text: str) -> dict[str, str]:
    r"""Return what stands under each heading of the second level.

    >>> sections("# Stages\n\n## dc\n\nA.\n\n## match\n\nB.\n")
    {'dc': 'A.', 'match': 'B.'}
    """
    _, *parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}


def since(name: str, changes: str) -> str:
    r"""Return the first version whose changes name a stage or a finding.

    >>> since("dc", "## [Unreleased]\n`match`\n## [0.2.0] - 2027\n`dc`\n## [0.1.0]\n`decomb`")
    '0.2.0'
    >>> since("match", "## [Unreleased]\n- `match`"), since("new", "")
    ('the next version', 'the next version')
    """
    versions = [
        title.partition("]")[0].lstrip("[")
        for title, said in sections(changes).items()
        if re.search(rf"\b{re.escape(name)}\b", said, re.IGNORECASE)
    ]
    oldest = versions[-1] if versions else "Unreleased"
    return "the next version" if oldest == "Unreleased" else oldest


def _budget(budget: Budget) -> str:
    bounds = []
    if 0 < budget.si_sdr_db < np.inf:
        bounds.append(
            f"at least {budget.si_sdr_db:g} dB between what it changes and the music from 60 Hz to "
            "7 kHz"
        )
    if budget.taken_sone:
        bounds.append(f"at most {budget.taken_sone:g} sone of music taken")
    if not bounds:
        return ""
    told = "; ".join(bounds)
    return f"## Budget\n\nA{told[1:]}. Over that it is turned down, then left out."


def _default(value: Any) -> str:
    return "found" if value == [] else setting(value)


def _limits(one: Any) -> str:
    limits = " … ".join(f"{limit:g}" for limit in one.range or ())
    off = " or none" if one.nullable and one.default is not None else ""
    any_value = "a name" if isinstance(one.default, str) else "yes or no"
    return (" or ".join(one.choices) or f"{limits} {one.unit}".strip() or any_value) + off


# ── Clips ────────────────────────────────────────────────────────────────────────────────────────


def _stage_clip(stage: type[Remedy], folder: Path) -> str:
    """Write what a stage does into a folder; return the Markdown that shows it."""
    if stage.name in NOT_SHOWN:
        return NOT_SHOWN[stage.name]
    spoilt = _spoilt_for(stage)
    with nitido.restore(
        spoilt.wav, sample_rate=RATE, stages=[stage.name], name=f"{stage.name}: {spoilt.fault}"
    ) as result:
        sounds = {"before": spoilt.wav, "after": result.wav, "removed": result.removed}
        picture = result.plot()
        picture.savefig(folder / f"{stage.name}.png", dpi=PICTURE_DPI)
        step = result.plan[stage.name]
    with_fault = f" with {spoilt.fault}" if spoilt.fault else ""
    about = f"The clip of `nitido demo`{with_fault}; the plan says: {step.reason.rstrip('.')}."
    return _shown(stage.name, about, sounds, folder)


def _finding_clip(kind: str, folder: Path) -> str:
    """Write what a finding is about into a folder; return the Markdown that shows it."""
    spoilt = _spoilt_of(kind)
    if spoilt is None or spoilt.clean is None:
        return ""
    clean = spoilt.clean.wav
    tracks = (
        Track("As it should be", clean, RATE, "before"),
        Track(f"With {spoilt.fault}", spoilt.wav, RATE, "after"),
    )
    picture = comparison_figure(*tracks, sentences=[spoilt.diagnosis[kind].summary])
    picture.savefig(folder / f"{kind}.png", dpi=PICTURE_DPI)
    about = f"The clip of `nitido demo` as it should be, and with {spoilt.fault}."
    return _shown(kind, about, {"as it should be": clean, "spoilt": spoilt.wav}, folder)


def _shown(name: str, about: str, sounds: Mapping[str, Wav], folder: Path) -> str:
    lines = ["## To hear and see", about, '<div class="sounds" markdown="0">']
    for word, wav in sounds.items():
        path = folder / f"{name}-{word.split()[0]}.mp3"
        channels, samples = wav.shape
        peak = max(1.0, float(np.abs(wav).max()) * 1.12)  # an MP3 holds no more than full scale
        shape = {"sample_rate": RATE, "channels": channels, "samples": samples}
        write(path, [wav / np.float32(peak)], overwrite=True, **shape)
        lines.append(
            f"<p>{word.capitalize()}<br>"
            f'<audio controls preload="none" src="{path.name}"></audio></p>'
        )
    picture = f"![Spectrograms, their difference and average spectra]({name}.png)"
    lines += ["</div>", f"[{picture}]({name}.png)"]
    return "\n\n".join(lines)


# ── The whole ────────────────────────────────────────────────────────────────────────────────────


def build(root: Path, site: Path) -> Path:
    """Build the site of a repository into a folder; return its first page.

    Raises:
        ConfigError: `root` is no repository of nitido, or a page has a link that leads nowhere.
    """
    pages = site.with_name(f".{site.name}.pages")
    write_pages(root, pages)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--clean"]
    built = subprocess.run(
        [*command, "--config-file", str(pages / CONFIG), "--site-dir", str(site.resolve())],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if built.returncode:
        raise ConfigError(f"The site cannot be built: {' '.join(built.stderr.split())}")
    shutil.rmtree(pages)
    return site / "index.html"


def write_pages(root: Path, folder: Path, *, sounds: bool = True) -> list[Path]:
    """Write what mkdocs builds the site from into a folder; return the pages that were made.

    Args:
        root: of the repository.
        folder: is emptied first.
        sounds: also write sounds and pictures.

    Raises:
        ConfigError: `root` is no repository of nitido.
    """
    if not (root / "docs" / "stages.md").is_file():
        raise ConfigError(f"{root} is no copy of nitido's repository: it has no docs/stages.md.")
    shutil.rmtree(folder, ignore_errors=True)
    pages = folder / "docs"
    _copy_pages(root, pages)
    changes = (root / "CHANGELOG.md").read_text("utf-8")
    stages, findings = (pages / "docs" / f"{group}.md" for group in ("stages", "findings"))
    words = sections(stages.read_text("utf-8"))
    made = []
    for name, stage in STAGES.items():
        place = _folder(stages)
        shown = _stage_clip(stage, place) if sounds else ""
        text = stage_page(stage, words=words.get(name, ""), changes=changes, clip=shown)
        made.append(write_text(place / f"{name}.md", text))
    words = sections(findings.read_text("utf-8"))
    for finding in clips()[0].diagnosis.findings:
        kind, place = finding.kind, _folder(findings)
        shown = _finding_clip(kind, place) if sounds else ""
        text = finding_page(kind, words=words.get(kind, ""), changes=changes, clip=shown)
        made.append(write_text(place / f"{kind}.md", text))
    if sounds:
        _add_example(pages / "docs" / "report.md")
        _add_listening_test(pages / "docs" / "listening.md")
    for group in (stages, findings):
        _link(group, [page.stem for page in made if page.parent == _folder(group)])
    write_text(pages / "site.css", STYLE)
    write_text(folder / CONFIG, json.dumps(_config(pages, made)))  # JSON is YAML
    return made


def _add_example(page: Path) -> None:
    """Put the report of the demo beside the page about reports, and a link to it at its end."""
    example = page.with_name("example.report.html")
    spoilt = add_artifacts(render(seconds=16.0))
    with nitido.restore(spoilt, sample_rate=DECODER_HZ, name="nitido demo") as result:
        result.report(example)
    link = f"## An example\n\n[The report of `nitido demo`]({example.name}), to listen and look."
    write_text(page, f"{page.read_text('utf-8').rstrip()}\n\n{link}\n", overwrite=True)


def _add_listening_test(page: Path) -> None:
    """Put a test of pieces that are made here beside the page about tests, and a link to it."""
    with tempfile.TemporaryDirectory() as place:
        songs = [Path(place) / f"demo {seed + 1}.wav" for seed in range(PAIRS)]
        for seed, song in enumerate(songs):
            spoilt = add_artifacts(render(seed, seconds=PASSAGE_SECONDS))
            shape = {"sample_rate": DECODER_HZ, "channels": 1, "samples": spoilt.shape[1]}
            write(song, [spoilt], **shape)
        made = write_pairs_test(page.parent, songs)
    link = (
        f"## One that is ready\n\n[{PAIRS} pieces of `nitido demo`]({made.path.name}), spoilt as a "
        "decoder would and restored. They show what the test is like and whether the repairs are "
        "heard; of music that somebody generated it says nothing."
    )
    write_text(page, f"{page.read_text('utf-8').rstrip()}\n\n{link}\n", overwrite=True)


def _copy_pages(root: Path, pages: Path) -> None:
    """Copy the pages of the repository, and the files that they link to, to the same places."""
    for pattern in PAGES:
        for page in sorted(root.glob(pattern)):
            for link in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
                target = (page.parent / link).resolve()
                if ":" not in link and target.is_file() and target.suffix != ".md":
                    _copy(target, pages / target.relative_to(root.resolve()))
            _copy(page, pages / page.relative_to(root))


def _copy(file: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, place)


def _folder(overview: Path) -> Path:
    """Return the folder of the pages of a group, made if it is missing."""
    folder = overview.with_suffix("")
    folder.mkdir(exist_ok=True)
    return folder


def _link(overview: Path, names: list[str]) -> None:
    """Link an overview to the pages of which it tells, and to those of which it does not yet."""
    text = overview.read_text("utf-8")
    told = sections(text)
    for name in names:
        link = f"## [{name}]({overview.stem}/{name}.md)"
        if name in told:
            text = text.replace(f"## {name}\n", f"{link}\n")
        else:
            text = f"{text.rstrip()}\n\n{link}\n"
    write_text(overview, text, overwrite=True)


def _config(pages: Path, made: list[Path]) -> dict[str, Any]:
    """Return the configuration of mkdocs."""
    nav = {title: list(places) for title, places in NAV.items()}
    named = {place for places in nav.values() for place in places}
    others = [f"docs/{page.name}" for page in sorted((pages / "docs").glob("*.md"))]
    nav["Background"] += [place for place in others if place not in named]
    for title in ("Stages", "Findings"):
        group = Path(nav[title][0]).stem
        nav[title] += [f"docs/{group}/{page.name}" for page in made if page.parent.name == group]
    return {
        "site_name": "nitido",
        "docs_dir": pages.name,
        "use_directory_urls": False,  # it can be read from a disk, too
        "theme": THEME,
        "extra_css": ["site.css"],
        "plugins": ["search"],
        "nav": [{title: places} for title, places in nav.items()],
        "markdown_extensions": ["tables", "admonition", "md_in_html", "pymdownx.superfences"],
    }
