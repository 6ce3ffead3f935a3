"""Reading and writing audio: the only package that touches audio files.

    open_source ─► Source.blocks() ─► sanitize ─► resample ─► … ─► write

Everything is a stream of waveforms `[C, n]`, so memory does not grow with the length of a file.
"""

from nitido.audio.limits import MAX_SECONDS
from nitido.audio.part import check_target, part_file, write_text
from nitido.audio.pictures import Picture
from nitido.audio.sanitize import SanitizedBlocks, sanitize
from nitido.audio.sink import FORMATS, write
from nitido.audio.source import ArraySource, FileSource, Source, is_waveform, open_source
from nitido.audio.tags import RawChunk, Tags, read_chunks, read_pictures, read_tags
from nitido.audio.validation import no_room, read_text, set_down

__all__ = [
    "FORMATS",
    "MAX_SECONDS",
    "ArraySource",
    "FileSource",
    "Picture",
    "RawChunk",
    "SanitizedBlocks",
    "Source",
    "Tags",
    "check_target",
    "is_waveform",
    "no_room",
    "open_source",
    "part_file",
    "read_chunks",
    "read_pictures",
    "read_tags",
    "read_text",
    "sanitize",
    "set_down",
    "write",
    "write_text",
]
