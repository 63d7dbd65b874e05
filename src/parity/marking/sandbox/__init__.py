"""The code sandbox: model-written programs run confined and apart, and what they send back is only ever an answer.

    verdicts      what is checked, within which limits, and what came of it
    pool          Sandbox: many checks, several at once
    server        the prepared parent that forks a pair for each check
    examiner      runs the benchmark's test; compares built-in types only
    candidate     runs the program
    exchange      what may pass between the two
    confinement   namespaces, identity, files, limits, system calls (landlock, seccomp, syscalls)

Threat model: the program is written by somebody who wants a pass without solving the task, or the machine. It knows
this code, and may do whatever its system calls allow. The benchmark's test and right answers are never in its memory.
"""

from parity.marking.sandbox.pool import Sandbox
from parity.marking.sandbox.verdicts import Case, Isolation, Limits, Outcome, Verdict

__all__ = ["Case", "Isolation", "Limits", "Outcome", "Sandbox", "Verdict"]
