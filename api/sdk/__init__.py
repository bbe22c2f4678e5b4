"""What users import: ``from axiom.sdk import ...``."""

if __name__ != "axiom.sdk":
    raise ImportError(
        f"import it as axiom.sdk, not as {__name__}: a second name would make every class twice"
    )

from axiom.runtime.context import Context as Context
from axiom.runtime.failures import NodeFailure as NodeFailure
