"""What a remedy's next step is taken in."""

from dataclasses import dataclass

from monitor.records import Application, Registry, Remedy
from monitor.settings import Settings
from monitor.wall_clock import Clock


@dataclass(frozen=True, slots=True)
class Scene:
    """Names, settings and time, as one transaction sees them."""

    registry: Registry
    settings: Settings
    clock: Clock

    def application_of(self, remedy: Remedy) -> Application:
        """Whose route a remedy is about."""
        return self.registry.applications[remedy.application_id]
