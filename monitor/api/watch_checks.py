"""What the monitor knows of a watch and its file does not: its application, its functions."""

from monitor.records import Application, Registry
from monitor.settings import Settings
from monitor.signals.custom import check_metric
from monitor.watches.fitting import check_features, check_task
from monitor.watches.watch import WatchForm


def check_here(
    form: WatchForm,
    application: Application,
    registry: Registry,
    settings: Settings,
    *,
    where: str,
) -> None:
    """Refuse a watch of what the application does not have or the monitor may not run.

    Raises
    ------
    InvalidRequestError
        Naming the field below `where`.
    """
    features = {
        feature.name
        for schema in registry.schemas.values()
        if schema.application_id == application.id
        for feature in schema.features
    }
    check_task(form, application.task, where=where)
    check_features(form, features, where=where)
    check_metric(form, settings.metric_modules, where=where)
