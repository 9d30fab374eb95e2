"""The networks, phases and losses of each stage."""

from facegen.training.objectives.base import Losses, Objective, Phase
from facegen.training.objectives.dcgan import DCGANObjective
from facegen.training.objectives.jnet import JNetObjective
from facegen.training.objectives.sr import UpscalerObjective

__all__ = ["DCGANObjective", "JNetObjective", "Losses", "Objective", "Phase", "UpscalerObjective"]
