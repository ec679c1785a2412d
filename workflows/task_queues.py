"""The task queues of Baton's workers."""

from typing import Final

CONVERSATIONS: Final = "baton-conversations"
DISPATCH: Final = "baton-dispatch"
UPKEEP: Final = "baton-upkeep"
"""What is done by the clock, beside all conversations."""
