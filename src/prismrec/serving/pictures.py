"""Pictures of items, from the folder of the data set only."""

from pathlib import Path
from typing import NamedTuple

_TYPES = {
    ".avif": "image/avif",
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}
"""Files that browsers show and that hold no scripts."""


class Picture(NamedTuple):
    """A picture file and its media type."""

    path: Path
    media_type: str


class PictureFolder:
    """The pictures below one folder."""

    def __init__(self, folder: Path) -> None:
        self._root = folder.resolve()

    def find(self, name: str) -> Picture | None:
        """The picture with a path relative to the folder; None if there is none.

        Symbolic links are followed first. A file outside the folder counts as missing.
        """
        try:
            path = (self._root / name).resolve(strict=True)
            is_inside = path.is_relative_to(self._root) and path.is_file()
        except (OSError, ValueError, RuntimeError):  # missing, too long, with a zero byte, or a link to itself
            return None
        media_type = _TYPES.get(path.suffix.lower())
        return Picture(path, media_type) if is_inside and media_type else None
