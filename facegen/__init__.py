"""facegen: high-resolution faces from a DCGAN and a landmark-guided J-net.

`FacePipeline` and `restore_photo` are imported when they are first used, so that `import facegen` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facegen.photo import restore_photo
    from facegen.pipeline import FacePipeline

__all__ = ["FacePipeline", "__version__", "restore_photo"]
__version__ = "0.2.0"
_EXPORTS = {"FacePipeline": "facegen.pipeline", "restore_photo": "facegen.photo"}


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'facegen' has no attribute {name!r}")
