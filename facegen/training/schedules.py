"""What changes over a training."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class WeightSchedule(BaseModel):
    """The weight of a loss over a training: `start`, then on a straight line to `end`.

    `WeightSchedule(start=1)` stays; `WeightSchedule(start=1, end=0, fade_from=n, fade_to=n)` is off once n are seen.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    start: float = Field(ge=0)
    end: float | None = Field(default=None, ge=0)
    """Absent: the weight stays as it starts."""
    fade_from: int = Field(default=0, ge=0)
    """Pictures (or tiles) seen when it begins to change."""
    fade_to: int = Field(default=0, ge=0)
    """Pictures seen from which on it is `end`."""

    @model_validator(mode="after")
    def _in_order(self) -> WeightSchedule:
        if self.fade_to < self.fade_from:
            raise ValueError(f"fade_to is {self.fade_to}, expected at least fade_from = {self.fade_from}")
        if (self.end is None) != (self.fade_to == 0):
            given, lacking = ("fade_to", "end") if self.end is None else ("end", "fade_to")
            raise ValueError(f"{given} is given without {lacking}; give both to change the weight, or neither")
        return self

    def __call__(self, images_seen: int) -> float:
        """The weight after so many pictures."""
        if self.end is None or images_seen < self.fade_from:
            return self.start
        if images_seen >= self.fade_to:
            return self.end
        done = (images_seen - self.fade_from) / (self.fade_to - self.fade_from)
        return self.start + (self.end - self.start) * done
