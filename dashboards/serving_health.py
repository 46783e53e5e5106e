"""*Serving health*: whether answers leave in time and reach the record."""

from dashboards import rules
from dashboards.frame import assembled
from dashboards.panels import THIRD, Json, Unit, asks, chart, listing, number
from dashboards.provisioning import CONSOLE
from dashboards.queries import added, increase, largest, quantile, rate, series
from serving import metrics as serving

UID = "leadsman-serving"


def build(console: str = CONSOLE) -> Json:
    """The dashboard."""
    here = {"job": rules.SERVING_JOB}
    answers = added(rate(serving.LATENCY, "$__rate_interval", "count"))
    now = [
        number("Serving processes", "Addresses of serving that answer Prometheus.", Unit.COUNT,
               asks(f'sum(up{{job="{rules.SERVING_JOB}"}})'), good_above=1),
        number("Answers", "Answers a second, defaults included.", Unit.A_SECOND, asks(answers)),
        number("Slowest answers", "The 99th percentile of latency.", Unit.SECONDS,
               asks(quantile(0.99, serving.LATENCY, "$__rate_interval"))),
        number("Default answers", "Share of answers that were the default output.", Unit.SHARE,
               asks(f"({added(rate(serving.DEFAULTS))} or vector(0)) / ({answers} > 0)"),
               limit=0.01),
        number("Journal", "How full the fullest journal is; at its limit new requests get 503.",
               Unit.SHARE, asks(largest(rules.JOURNAL_SHARE)), limit=0.5),
        number("Record behind", "Age of the oldest record that Postgres does not have.",
               Unit.SECONDS, asks(largest(series(serving.SHIPPING_LAG_SECONDS))), limit=60),
    ]  # fmt: skip
    answering = [
        chart("Answers", "Answers a second by process; workers behind one port are told apart.",
              Unit.A_SECOND,
              asks(added(rate(serving.LATENCY, "$__rate_interval", "count"), "instance",
                         "worker"), "{{instance}} {{worker}}")),
        chart("Latency", "Half, nine in ten and all but one in a hundred answers were faster.",
              Unit.SECONDS,
              *(asks(quantile(q, serving.LATENCY, "$__rate_interval"), name)
                for q, name in ((0.5, "median"), (0.9, "90 %"), (0.99, "99 %")))),
        chart("Turned away", "Requests a second that got 503, since their answers would have come "
              "too late.", Unit.A_SECOND,
              asks(f"{added(rate(serving.REFUSED))} or vector(0)", "turned away"), width=THIRD),
        chart("Bad input", "Requests or items a second that no prediction was made for.",
              Unit.A_SECOND, asks(added(rate(serving.ERRORS)), "bad input"), width=THIRD),
        chart("Default answers by reason", "Default answers a second.", Unit.A_SECOND,
              asks(added(rate(serving.DEFAULTS), "reason"), "{{reason}}"), width=THIRD),
    ]  # fmt: skip
    replicas = [
        chart("Replicas that answer", "By version; 0 means default answers for all that need it.",
              Unit.COUNT, asks(added(series(serving.REPLICAS_READY), "version"), "{{version}}"),
              width=THIRD),
        chart("Replicas replaced", "Within an hour, by version: crashed, hung, or lied.",
              Unit.COUNT, asks(added(increase(serving.REPLICA_RESTARTS, "1h"), "version"),
                               "{{version}}"), width=THIRD),
        chart("Rows waiting", "Rows that wait for a batch, and that a replica has, by version.",
              Unit.COUNT,
              asks(added(series(serving.WAITING_ROWS), "version"), "{{version}} waiting"),
              asks(added(series(serving.IN_FLIGHT_ROWS), "version"), "{{version}} in flight"),
              width=THIRD),
        chart("Rows of a batch", "Half of all batches, and nine in ten, were smaller. They grow "
              "with the load, as batches form when a replica is free.", Unit.COUNT,
              asks(quantile(0.5, serving.BATCH_ROWS, "$__rate_interval", "version"),
                   "{{version}} median"),
              asks(quantile(0.9, serving.BATCH_ROWS, "$__rate_interval", "version"),
                   "{{version}} 90 %"), width=THIRD),
        chart("Answers kept", "Share of rows answered by a kept answer, where there is a cache.",
              Unit.SHARE,
              asks(f"{added(rate(serving.CACHE_HITS), 'version')} / "
                   f"({added(rate(serving.CACHE_HITS), 'version')} + "
                   f"{added(rate(serving.CACHE_MISSES), 'version')} > 0)", "{{version}}"),
              width=THIRD, most=1),
        chart("Memory of kept answers", "What kept answers take, by version.", Unit.BYTES,
              asks(added(series(serving.CACHE_BYTES), "version"), "{{version}}"), width=THIRD),
        chart("Answers together", "Answers a second of versions that were asked together with "
              "others (ensembles, cascades), and of those that took no part.", Unit.A_SECOND,
              asks(added(rate(serving.MEMBERS), "version"), "{{version}}"),
              asks(f"{added(rate(serving.MEMBERS_MISSING))} or vector(0)", "took no part")),
        chart("Agreement of ensembles", "Mean share of members that say what the ensemble says.",
              Unit.SHARE,
              asks(f"{added(rate(serving.AGREEMENT, '$__rate_interval', 'sum'), 'application')} / "
                   f"({added(rate(serving.AGREEMENT, '$__rate_interval', 'count'), 'application')}"
                   " > 0)", "{{application}}"), most=1),
    ]  # fmt: skip
    record = [
        chart("Journal", "Size of what Postgres does not have yet, by process, and the limit.",
              Unit.BYTES,
              asks(series(serving.JOURNAL_BYTES), "{{instance}} {{worker}}"),
              asks(f"min({series(serving.JOURNAL_LIMIT_BYTES)})", "limit"), width=THIRD),
        chart("Records waiting", "Records that Postgres does not have yet, and those that it "
              "refused and that were set aside.", Unit.COUNT,
              asks(added(series(serving.JOURNAL_ROWS)), "waiting"),
              asks(added(series(serving.REFUSED_ROWS)), "refused"), width=THIRD),
        chart("Age of the oldest record", "By process: how far Postgres is behind.", Unit.SECONDS,
              asks(series(serving.SHIPPING_LAG_SECONDS), "{{instance}} {{worker}}"), width=THIRD,
              limit=60),
        chart("Shipped", "Records brought to Postgres a second.", Unit.ROWS_A_SECOND,
              asks(added(rate(serving.SHIPPED_ROWS), "instance", "worker"),
                   "{{instance}} {{worker}}"), width=THIRD),
        chart("Connected to Postgres", "1 where shipping has a connection.", Unit.COUNT,
              asks(series(serving.DATABASE_CONNECTED), "{{instance}} {{worker}}"), width=THIRD,
              most=1),
        chart("Postgres lost", "Times within an hour that Postgres was lost or not reached.",
              Unit.COUNT, asks(added(increase(serving.SHIPPING_FAILURES, "1h")), "times"),
              width=THIRD),
    ]  # fmt: skip
    changes = [
        chart("Revisions in force", "A step is a change of a route.", Unit.COUNT,
              asks(largest(series(serving.REVISION), "application"), "{{application}}"),
              width=THIRD),
        chart("Time of a route change", "From request to switch: nine in ten within an hour took "
              "less. It is the start and probe of a version that was not warm.", Unit.SECONDS,
              asks("histogram_quantile(0.9, "
                   + added(increase(serving.ROUTE_CHANGE, "1h", "bucket"), "le", "kind") + ")",
                   "{{kind}}"), width=THIRD),
        chart("From decision to last bad answer", "The longest time, within an hour, in which the "
              "route before still answered.", Unit.SECONDS,
              asks("histogram_quantile(1, "
                   + added(increase(serving.LAST_ANSWER, "1h", "bucket"), "le", "kind") + ")",
                   "{{kind}}"), width=THIRD, limit=1),
    ]  # fmt: skip
    process = [
        chart("Processor", "Processors that each process uses; its replicas are not in it.",
              Unit.NONE, asks(rate(serving.CPU_SECONDS, **here), "{{instance}} {{worker}}"),
              width=THIRD),
        chart("Memory", "Memory that each process has; its replicas are not in it.", Unit.BYTES,
              asks(series(serving.MEMORY_BYTES, **here), "{{instance}} {{worker}}"), width=THIRD),
        chart("Open files", "Files and sockets of each process.", Unit.COUNT,
              asks(series(serving.OPEN_FILES, **here), "{{instance}} {{worker}}"), width=THIRD),
        listing("Versions", "Which version of serving runs where.",
                asks(series(serving.INFO)), height=5),
    ]  # fmt: skip
    return assembled(
        UID, "Leadsman / Serving health", "Whether answers leave in time, replicas live, and the "
        "record is complete.",
        [("Now", now), ("Answering", answering), ("Replicas", replicas), ("Record", record),
         ("Changes of routes", changes), ("Process", process)],
        console=console,
    )  # fmt: skip
