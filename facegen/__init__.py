"""facegen: high-resolution faces from a DCGAN and a landmark-guided J-net.

`FacePipeline` is the way in; it is imported when first asked for, so that `import facegen` costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facegen.pipeline import FacePipeline

__all__ = ["FacePipeline", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "FacePipeline":
        from facegen.pipeline import FacePipeline

        return FacePipeline
    raise AttributeError(f"module 'facegen' has no attribute {name!r}")
