"""What this application takes messages in with."""

from typing import Annotated

from fastapi import Depends, Request

from storage.ledger.intakes import Intakes


async def intakes(request: Request) -> Intakes:
    state = request.app.state
    if not hasattr(state, "intakes"):
        state.intakes = Intakes(state.context.database)
    made: Intakes = state.intakes
    return made


TakesIn = Annotated[Intakes, Depends(intakes)]
