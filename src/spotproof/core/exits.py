"""The exit codes: an interface for scripts and supervisors. An unknown code is a failure."""

from enum import IntEnum


class Exit(IntEnum):
    """What a spotproof process says by its exit status."""

    OK = 0  # done; rows that the function refused are in failed/
    FAILED = 1  # an error that a second try will not mend by itself
    USAGE = 2  # the command line or the job file is wrong
    NOT_VERIFIED = 3  # verify found rows missing, twice, or damaged
    JOB_CHANGED = 4  # the root holds another job than the one given
    UNSAFE_STORE = 5  # the store failed its self-test
    INPUT = 6  # the input is missing, unreadable, or changed
    STORAGE = 7  # the store did not answer or denied access
    INTERRUPTED = 75  # told to leave; all is committed; run the same command to resume (EX_TEMPFAIL)
