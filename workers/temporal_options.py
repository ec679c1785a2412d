"""How the embedded Temporal is to be: our search attributes, and timers that fire when they are due."""

from collections.abc import Mapping
from typing import Final

from workflows.search_attributes import ALL_KEYS

DYNAMIC_CONFIG: Final[Mapping[str, str]] = {"history.timerProcessorMaxTimeShift": '"1ms"'}
"""By default the server lets timers wait up to a second for company; a deadline is an instant."""

_TYPE_NAMES: Final = {
    "KEYWORD": "Keyword",
    "KEYWORD_LIST": "KeywordList",
    "INT": "Int",
    "DATETIME": "Datetime",
}


def search_attribute_types() -> dict[str, str]:
    return {key.name: _TYPE_NAMES[key.indexed_value_type.name] for key in ALL_KEYS}
