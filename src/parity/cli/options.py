"""Options that many verbs take, each spelled once."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

BENCHMARK = Parameter(name=["--benchmark", "-b"])
Json = Annotated[bool, Parameter(name="--json")]
Output = Annotated[Path | None, Parameter(name=["--output", "-o"])]
# Named as often as wanted; the help says what none means.
Repeated = Annotated[tuple[str, ...], Parameter(show_default=False)]
