"""Weight edits from examples: methods that change weights and do nothing at run time."""

from steersman.editing.steer2edit import Steer2Edit
from steersman.editing.thinkedit import ThinkEdit

__all__ = ["Steer2Edit", "ThinkEdit"]
