"""The launcher that the settings name, and what an earlier life of it left behind."""

import asyncio
import logging
from datetime import timedelta

from serving.launchers.base import Launcher, LauncherKind, LauncherUnavailableError, Replica
from serving.launchers.environment_store import EnvironmentStore
from serving.launchers.kubernetes_settings import KubernetesSettings
from serving.launchers.options import DockerOptions
from serving.launchers.process import ProcessLauncher
from serving.launchers.verified import VerifyingLauncher
from serving.settings import Settings

log = logging.getLogger("serving.launching")

LOOK_AGAIN = 5.0
"""Seconds until what the launcher works through is asked again, where it did not answer."""


def make_launcher(settings: Settings) -> Launcher:
    """The launcher of one serving process, by its own folder."""
    if settings.launcher is LauncherKind.DOCKER:
        # Only who asks for containers pays for the client's import.
        from serving.launchers.docker import DockerLauncher

        options = DockerOptions(
            settings.docker_base_image, settings.docker_network, settings.replica_processes
        )
        return VerifyingLauncher(DockerLauncher(settings.replicas, options))
    if settings.launcher is LauncherKind.KUBERNETES:
        from serving.launchers.kubernetes import KubernetesLauncher

        pods = KubernetesLauncher(settings.replicas, KubernetesSettings(), settings.artefacts)
        return VerifyingLauncher(pods)
    environments = EnvironmentStore(settings.environments, installer=settings.environment_installer)
    processes = ProcessLauncher(
        settings.replicas,
        niceness=settings.replica_niceness,
        tasks=settings.replica_processes,
        environments=environments,
    )
    return VerifyingLauncher(processes)


def check_launcher(settings: Settings) -> None:
    """Read what an operator says of the launcher alone; a wrong value raises `ValidationError`."""
    if settings.launcher is LauncherKind.KUBERNETES:
        KubernetesSettings()


def environments_of(launcher: Launcher) -> EnvironmentStore | None:
    """Where a launcher builds environments on this machine; none where it does not."""
    inner = launcher.launcher if isinstance(launcher, VerifyingLauncher) else launcher
    return inner.environments if isinstance(inner, ProcessLauncher) else None


async def end_what_was_left(launcher: Launcher, grace: timedelta) -> None:
    """End the replicas of an earlier process of the same folder, once it can be known of them.

    Replicas that this process starts meanwhile are its own and stay.
    """
    while True:
        try:
            found = await launcher.find()
            break
        except LauncherUnavailableError as error:
            log.warning("leftovers_not_known why=%s", error)
        await asyncio.sleep(LOOK_AGAIN)
    await asyncio.gather(*(_end(one, grace) for one in found))


async def _end(replica: Replica, grace: timedelta) -> None:
    await replica.stop(grace)
    log.info("leftover_replica_ended replica=%s", replica.name)
