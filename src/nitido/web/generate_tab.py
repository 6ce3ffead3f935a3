"""The tab Generate: words to music, several candidates side by side, straight into Restore."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

import nitido
from nitido.errors import CancelledError, ConfigError, NitidoError
from nitido.generation.settings import Request
from nitido.optional import available
from nitido.web import panels
from nitido.web.parts import CANCELLED, QUICK, Bar, Shown, claim, look, panel
from nitido.web.restore_tab import RestoreTab
from nitido.web.sessions import SessionPiece, Visit, Visits
from nitido.web.work import Task, Tell

MODELS = {
    "Small": "facebook/musicgen-small",
    "Medium": "facebook/musicgen-medium",
    "Large": "facebook/musicgen-large",
    "Follows a melody": "facebook/musicgen-melody",
    "Small, stereo": "facebook/musicgen-stereo-small",
    "Medium, stereo": "facebook/musicgen-stereo-medium",
}
PROMPTS = (
    "A calm lofi beat with warm keys and vinyl crackle",
    "Epic strings and brass for a film trailer",
    "Driving 90s rock with distorted guitars",
    "A melancholic piano solo in a large room",
)
SECONDS_MAX, CANDIDATES_MAX, PROMPT_LENGTH = 30, 4, 500
NEEDED = ("torch", "transformers")
LICENCE = (
    "The weights of MusicGen are CC-BY-NC 4.0: what that means for the music that you make with "
    "them is between you and that licence. They are fetched from the Hugging Face hub when you "
    "first press Generate; the small model takes about 2 GB."
)
ABSENT = (
    "<section class='absent'><h2>Generating needs one more part</h2><p>It is not installed on this "
    "computer. This command adds it; then start the page again.</p>"
    "<pre><code>pip install 'nitido[generate]'</code></pre></section>"
)


class GenerateTab:
    """The components of the tab, and what happens when they are used."""

    def __init__(self, visits: Visits, restoring: RestoreTab, tabs: Any) -> None:
        """Build the components; must be called inside `gradio.Blocks`."""
        self._visits = visits
        self._restoring = restoring
        self._tabs = tabs
        if not all(map(available, NEEDED)):
            panel("absent", ABSENT)
            return
        prompt = gr.Textbox(
            label="What should it sound like?", lines=2, max_length=PROMPT_LENGTH,
            placeholder=PROMPTS[0], elem_id="prompt",
        )  # fmt: skip
        panel("examples", panels.examples(PROMPTS), script="nitidoExamples(element);")
        with gr.Row(elem_id="asked"):
            models = list(MODELS.items())
            model = gr.Dropdown(models, value=models[0][1], label="Model", elem_id="model")
            seconds = gr.Slider(
                1, SECONDS_MAX, round(Request.seconds), step=1, label="Seconds", buttons=[]
            )
            count = gr.Slider(1, CANDIDATES_MAX, 2, step=1, label="Candidates", buttons=[])
            seed = gr.Number(Request.seed, label="Seed", precision=0, minimum=0, min_width=80)
        with gr.Accordion("A melody to follow, for the melody model", open=False, elem_id="tune"):
            melody = gr.File(show_label=False, height=104, elem_id="melody", buttons=[])
            melody.upload(claim, melody, None, **QUICK)
        self.bar = Bar(visits, "generate", "Generate")
        self.clips = panel("clips", script="nitidoClips(element, trigger);")
        panel("licence", f"<p class='hint'>{LICENCE}</p>")
        asked = [prompt, model, seconds, count, seed, melody]
        self.bar.listen(self.bar.start, self._generate, asked, [self.clips])
        taking = [tabs, *restoring.outputs]
        self.clips.select(self._take_on, None, taking, **look(visits))

    def _generate(
        self,
        prompt: str,
        model: str,
        seconds: float,
        count: float,
        seed: float | None,
        melody: str | None,
        request: gr.Request,
    ) -> Iterator[Shown]:
        """Generate the candidates, one after the other; show each as soon as it is there."""
        visit = self._visits.of(request.session_hash)
        made: list[int] = []
        try:
            _check(prompt, model, seconds, count)
            options = {"model": model, "seconds": float(seconds), "melody": None}
            if melody is not None:
                upload = self._visits.uploads.take(melody, request.session_hash)
                self._visits.limits.check_length(upload.path, upload.name)
                options["melody"] = upload.path
            visit.forget_unlisted()
            for number in range(int(count)):
                work = self._work(visit, prompt, int(seed or 0) + number, options)
                task = Task(work, cancelled=visit.cancelled)
                for share in task.shares():
                    yield self.bar.at(f"Generating {number + 1} of {int(count)}", share)
                made.append(task.result.number)
                yield {self.clips: panels.clips(visit, made)}
            yield self.bar.idle()
        except CancelledError:
            yield self.bar.idle(CANCELLED)
        except NitidoError as error:
            yield self.bar.idle(refused=[str(error)])

    def _work(
        self, visit: Visit, prompt: str, seed: int, options: dict[str, Any]
    ) -> Callable[[Tell], SessionPiece]:
        def work(tell: Tell) -> SessionPiece:
            with visit.working(), self._visits.uploads.room():
                generation = nitido.generate(
                    prompt,
                    seed=seed,
                    on_progress=lambda done, total: tell(done / total),
                    **options,
                )
                path = visit.folder / f"{secrets.token_hex(8)}.wav"
                generation.write(path)
                name = f"{' '.join(prompt.split()[:4])}, seed {seed}.wav"
                return visit.add(name, path, limits=self._visits.limits, listed=False)

        return work

    def _take_on(self, event: gr.EventData, request: gr.Request) -> Iterator[Shown]:
        """Take a candidate on to restoring: it is examined, and the other tab shown."""
        visit = self._visits.of(request.session_hash)
        piece = visit.pieces.get(int(event.number))
        if piece is None:
            return
        try:
            visit.choose(piece, limits=self._visits.limits)
            yield {self._tabs: gr.update(selected="restore")}
            yield from self._restoring.examined(visit, piece)
        except NitidoError as error:
            shown = {self._tabs: gr.update(selected="restore")}
            yield {**shown, self._restoring.news: panels.notice([str(error)])}


def _check(prompt: str, model: str, seconds: float, count: float) -> None:
    """Refuse before any work what cannot be made.

    Raises:
        ConfigError: what is wrong.
    """
    if not prompt.strip():
        raise ConfigError("There are no words yet; say what it should sound like.")
    if len(prompt) > PROMPT_LENGTH:
        raise ConfigError(f"The words are {len(prompt)} letters long; {PROMPT_LENGTH} are taken.")
    if model not in MODELS.values():
        raise ConfigError(f"There is no model {model!r} here; choose one of the list.")
    if not 1 <= seconds <= SECONDS_MAX:
        raise ConfigError(f"{seconds:g} seconds are not between 1 and {SECONDS_MAX}.")
    if not 1 <= count <= CANDIDATES_MAX:
        raise ConfigError(f"{count:g} candidates are not between 1 and {CANDIDATES_MAX}.")
