"""How the page looks to Gradio: our colours, one type face that every computer has, no ornament.

The colours are in `page.css`: those of the report, which is shown inside the page.
"""

from __future__ import annotations

import inspect
from typing import Any

import gradio as gr

FONTS = (
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "Helvetica Neue",
    "Arial",
    "sans-serif",
)
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")
# Shown before the style sheet is there: light, dark.
FIRST = {"body_background_fill": ("#faf9f6", "#131519"), "body_text_color": ("#21242b", "#ebe9e3")}
# Variable of Gradio's theme → colour of `page.css`, which knows light and dark.
ROLES = {
    "body_text_color_subdued": "soft",
    "background_fill_primary": "card",
    "background_fill_secondary": "paper",
    "block_background_fill": "card",
    "block_border_color": "rule",
    "block_label_background_fill": "card",
    "block_label_text_color": "soft",
    "block_title_text_color": "ink",
    "border_color_accent": "accent",
    "border_color_primary": "rule",
    "button_primary_background_fill": "ink",
    "button_primary_background_fill_hover": "ink",
    "button_primary_text_color": "card",
    "button_primary_border_color": "ink",
    "button_secondary_background_fill": "card",
    "button_secondary_background_fill_hover": "card",
    "button_secondary_border_color": "rule",
    "button_secondary_border_color_hover": "soft",
    "button_secondary_text_color": "ink",
    "color_accent": "accent",
    "input_background_fill": "card",
    "input_border_color": "rule",
    "input_border_color_focus": "accent",
    "input_placeholder_color": "soft",
    "link_text_color": "accent",
    "link_text_color_hover": "accent",
    "link_text_color_active": "accent",
    "link_text_color_visited": "accent",
    "slider_color": "accent",
}


def make_theme() -> Any:
    """Return the theme; it fetches no font."""
    base = gr.themes.Base(
        text_size="md", radius_size="md", spacing_size="md", font=FONTS, font_mono=MONO
    )
    known = inspect.signature(base.set).parameters
    values = {name: f"var(--{colour})" for name, colour in ROLES.items()}
    values |= {f"{name}_dark": value for name, value in values.items() if f"{name}_dark" in known}
    for name, (light, dark) in FIRST.items():
        values |= {name: light, f"{name}_dark": dark}
    flat = {"block_shadow": "none", "button_primary_shadow": "none", "input_shadow": "none"}
    return base.set(**values, **flat)
