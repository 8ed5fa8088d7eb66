"""Does a steering move what it says it moves? Judged by states and a probe of other examples."""

from steersman.faithful.measuring import faithfulness
from steersman.faithful.result import Faithfulness, StateFaithfulness

__all__ = ["Faithfulness", "StateFaithfulness", "faithfulness"]
