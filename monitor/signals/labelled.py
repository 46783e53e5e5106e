"""What a label tells besides the loss: how late it came, and every metric of the task."""

import numpy as np

from monitor.feed.join import Stretch
from monitor.records import Registry
from monitor.signals.base import DELAY, METRICS, Extracted, Observations, applications_in, coded
from monitor.signals.metrics import metrics


def labelled(stretch: Stretch, registry: Registry) -> Extracted:
    """Delays of labels, and metrics of answers that a client read."""
    found: Extracted = {}
    answers, joined = stretch.answers, stretch.labelled
    served = answers.in_service[joined.answer]
    for number in applications_in([answers.application[joined.answer]]):
        application = registry.applications.get(number)
        mine = served & (answers.application[joined.answer] == number)
        if application is None or not mine.any():
            continue
        row, label, event = joined.answer[mine], joined.label[mine], joined.event[mine]
        code, names = coded(answers.version[row])
        at = stretch.labels.at[label]
        delay = np.maximum(at - answers.at[row], 0) / 1e6
        ids, revision = answers.id[row], answers.revision[row]
        found[number, DELAY] = Observations(event, at, ids, code, names, delay, revision, row=row)
        columns, values = metrics(stretch, application.task, row, label)
        found[number, METRICS] = Observations(
            event, at, ids, code, names, values, revision, columns, row
        )
    return found
