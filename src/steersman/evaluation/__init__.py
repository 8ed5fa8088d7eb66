"""Evaluation: tasks, judges, and scores that can be taken up where they were interrupted."""

from steersman.evaluation.evaluating import evaluate
from steersman.evaluation.result import Evaluation
from steersman.evaluation.scores import Score
from steersman.evaluation.task import Recipe, Task
from steersman.evaluation.tasks import task_named

__all__ = ["Evaluation", "Recipe", "Score", "Task", "evaluate", "task_named"]
