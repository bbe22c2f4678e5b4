"""What users import: ``from axiom.sdk import ...``."""

if __name__ != "axiom.sdk":
    raise ImportError(
        f"import it as axiom.sdk, not as {__name__}: a second name would make every class twice"
    )

from axiom.runtime.coded_tasks import current as current
from axiom.runtime.context import Context as Context
from axiom.runtime.failures import NodeFailure as NodeFailure
from axiom.runtime.operations import OutsideRun as OutsideRun
from axiom.runtime.operations import TaskFailed as TaskFailed

from .engine import Engine as Engine
from .engine import Handle as Handle
from .engine import RunFailed as RunFailed
from .retry import Retry as Retry
from .workflows import Run as Run
from .workflows import Task as Task
from .workflows import Workflow as Workflow
from .workflows import task as task
from .workflows import workflow as workflow
