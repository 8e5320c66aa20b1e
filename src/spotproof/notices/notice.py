"""A provider's word that this machine goes at a deadline."""

from dataclasses import dataclass

from spotproof.core.clock import Clock


@dataclass(frozen=True)
class Notice:
    """`deadline` is on the monotonic clock of this process: wall clocks jump. `action` such as "terminate"."""

    source: str
    action: str
    deadline: float
    detail: str = ""

    def grace_seconds(self, clock: Clock) -> float:
        """Seconds left; never below 0."""
        return max(0.0, self.deadline - clock.monotonic())
