"""How one of Baton's processes is started from another one."""

import sys
from collections.abc import Sequence


def role_argv(role: str) -> Sequence[str]:
    """The command of a role, `worker`, `dispatcher`, `api`, or of `migrate`, in this very installation."""
    return (sys.executable, "-m", "workers", role)
