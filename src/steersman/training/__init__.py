"""A few tensors trained in front of a frozen model: one loop, and the published objectives."""

from steersman.training.bench import Bench, Predicted
from steersman.training.frozen import frozen
from steersman.training.history import Epoch, History
from steersman.training.loop import Loss, Parameters, Project, Trained, train
from steersman.training.settings import Training
from steersman.training.written import Batch, Written, written

__all__ = [
    "Batch",
    "Bench",
    "Epoch",
    "History",
    "Loss",
    "Parameters",
    "Predicted",
    "Project",
    "Trained",
    "Training",
    "Written",
    "frozen",
    "train",
    "written",
]
