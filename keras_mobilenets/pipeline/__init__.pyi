from .compression import KINDS as KINDS
from .conversion import USUAL as USUAL
from .conversion import convert_file as convert_file
from .explanation import Explanation as Explanation
from .run import Outcome as Outcome
from .run import Run as Run
from .zoo import trained_zoo as trained_zoo
from .zoo import untrained_zoo as untrained_zoo
