"""What a film's file says beside its frames: text of facegen's in the comment, and the mark of generated media.

The comment is the one field that every container keeps; the text stands in it as one JSON object.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from facegen.media.metadata import SOURCE_TYPES, Label
from facegen.media.video_reader import open_media
from facegen.media.xmp import IPTC, packet

SHOWN = ("title", "artist", "copyright")
"""Keys of a film's text that players show; they become fields of their own."""
SOURCE_TYPE_KEY = "DigitalSourceType"
"""Under it the text says which of IPTC's digital source types the film is."""
_MADE_BY: dict[Label, str] = {
    "generated": "Made by neural networks (facegen)",
    "composite": "Filmed, with parts made by neural networks (facegen)",
}
_XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
"""The box type that Adobe's XMP specification, part 3, gives to XMP in MPEG-4."""


def film_metadata(text: Mapping[str, str], label: Label) -> dict[str, str]:
    """The fields of a container that hold a film's text and say in words how it was made."""
    shown = {key: value for key, value in text.items() if key in SHOWN}
    comment = json.dumps(dict(text) | {SOURCE_TYPE_KEY: SOURCE_TYPES[label]})
    return shown | {"description": f"{_MADE_BY[label]}.", "comment": comment}


def add_xmp(path: Path, label: Label) -> None:
    """Append IPTC's digital source type, as XMP, to an mp4 file that is complete but for it."""
    body = _XMP_BOX + packet({f"{{{IPTC}}}DigitalSourceType": SOURCE_TYPES[label]})
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", 8 + len(body), b"uuid") + body)


def add_gif_comment(path: Path, comment: str) -> None:
    """Put a comment at the end of a GIF file, before its last byte (GIF89a specification, section 24)."""
    data = comment.encode()
    blocks = [data[start : start + 255] for start in range(0, len(data), 255)]
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x21\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0\x3b")


def video_text(path: Path) -> dict[str, str]:
    """The text that `write_video` put into a film, `SOURCE_TYPE_KEY` included; {} if there is none.

    Raises:
        ImageError: if the file cannot be read as a film.
    """
    with closing(open_media(path, "video")) as film:
        fields = {key.lower(): value for key, value in film.metadata.items()}
    try:
        text = json.loads(fields.get("comment", "{}"))
    except ValueError:  # somebody else's comment
        return {}
    return {str(key): str(value) for key, value in text.items()} if isinstance(text, dict) else {}
