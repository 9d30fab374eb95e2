"""What each stage trains: its networks, its phases, its losses."""

from facegen.training.objectives.base import Losses, Objective, Phase
from facegen.training.objectives.dcgan import DCGANObjective
from facegen.training.objectives.jnet import JNetObjective
from facegen.training.objectives.upscaler import UpscalerObjective

__all__ = ["DCGANObjective", "JNetObjective", "Losses", "Objective", "Phase", "UpscalerObjective"]
