"""A record of many applications that nobody called: a week of sums, watches and alerts of each.

For measuring and for looking at the console; what is in it was made up by SQL.
"""

import hashlib
from datetime import datetime, timedelta

import asyncpg

PRODUCTS = (
    "fraud", "churn", "pricing", "ranking", "search", "arrival", "demand", "spam", "credit",
    "returns", "stock", "support", "ads", "similar", "language", "safety", "leads", "claims",
    "routes", "energy",
)  # fmt: skip
REGIONS = ("eu", "us", "uk", "de", "fr", "jp", "br", "in", "au", "ca")
DAYS = 7


def name(number: int) -> str:
    """What the application of a number, from 1, is called."""
    product = PRODUCTS[(number - 1) // len(REGIONS) % len(PRODUCTS)]
    return f"{product}-{REGIONS[(number - 1) % len(REGIONS)]}"


# In alarm, noticed, in hand, learning, idle: some of each among many that are well.
_MADE = """
INSERT INTO applications (id, name, task, latency_objective_ms)
SELECT n, name, 'binary', 100 FROM unnest('{{{names}}}'::text[]) WITH ORDINALITY AS a (name, n);
INSERT INTO input_schemas (id, application_id, schema, features, encoding)
SELECT id, id, '{{}}', '["income", "debt", "age"]', 'float64' FROM applications;
INSERT INTO models (id, name) SELECT id, name FROM applications;
INSERT INTO versions (id, model_id, version, framework, manifest, digest, size_bytes, artefact)
SELECT 2 * id + v - 2, id, v, 'sklearn', '{{}}', md5(format('%s-%s', id, v)), 20000, ''
  FROM applications, generate_series(1, 2) v;
INSERT INTO revisions (application_id, revision, kind, policy, input_schema_id, actor, created_at)
SELECT id, v, 'change', json_build_object('kind', 'single', 'champion', format('%s:%s', name, v)),
       id, 'operator', timestamptz '{start}' + (v - 1) * interval '3 d' + id % 97 * interval '31 m'
  FROM applications, generate_series(1, 2) v;
INSERT INTO watches (application_id, name, signal, detector, tier, settings, remedy, mode, origin)
SELECT id, w.name, w.signal, w.detector, w.tier, '{{}}', w.remedy, 'propose', 'default'
  FROM applications, (VALUES
       ('loss', 'loss', 'bounded-mean', 'page', 'notify'),
       ('loss_rollback', 'loss', 'bounded-mean', 'rollback', 'roll_back'),
       ('output', 'output', 'ranks', 'info', 'notify'),
       ('features', 'feature.*', 'ranks', 'info', 'notify'),
       ('service', 'service.*', 'bounded-mean', 'page', 'notify')
  ) AS w (name, signal, detector, tier, remedy);
INSERT INTO watch_states (watch_id, subject, status, status_reason, parameters, state,
       observations, granted, statistic)
SELECT w.id, (2 * w.application_id)::text,
       CASE WHEN w.application_id % 23 = 0 THEN 'learning' ELSE 'armed' END, NULL,
       '{{"reference_mean": 0.1, "limit": 0.16, "unit": "row"}}', '', 10000, 0.01,
       exp(-12 * random()) FROM watches w;
INSERT INTO alerts (application_id, subject, kind, tier, state, title, detail, opened_at)
SELECT id, (2 * id)::text, 'loss', CASE WHEN id % 31 = 0 THEN 'rollback' ELSE 'page' END,
       CASE WHEN id % 62 = 0 THEN 'acknowledged' ELSE 'firing' END,
       format('%s: %s:2 errs more than its reference', name, name), '{{}}',
       timestamptz '{end}' - interval '1 h' * (id % 7)
  FROM applications WHERE id % 31 = 0 OR id % 37 = 0;
INSERT INTO alerts (application_id, subject, kind, tier, state, title, detail, opened_at)
SELECT id, (2 * id)::text, 'feature', 'info', 'firing',
       format('%s: feature income of requests to %s:2 changed: values rose', name, name), '{{}}',
       timestamptz '{end}' - interval '5 h'
  FROM applications WHERE id % 11 = 0;
INSERT INTO keys (id, name, hash, scopes) VALUES (gen_random_uuid(), 'operator', '{hash}',
       '["admin"]') ON CONFLICT (hash) DO NOTHING;
"""
# Losses are 0 or 1, so their squares sum to the same; those in alarm err more since six hours.
_SUMS = """
INSERT INTO signal_summaries (application_id, signal, step_s, subject, at, n, total, squares)
SELECT g, s.signal, {step}, CASE WHEN at < timestamptz '{start}' + interval '3 d'
       THEN 2 * g - 1 ELSE 2 * g END::text, at, k, t, CASE WHEN s.mean > 1 THEN 1.1 * t * t / k
       ELSE t END
  FROM generate_series({first}, {n}) g,
       (VALUES ('loss', 0.1), ('service.default', 0.0), ('service.latency', 0.01),
               ('service.error', 0.0), ('label.delay', 90.0)) AS s (signal, mean),
       LATERAL generate_series(timestamptz '{from_}', timestamptz '{end}' - interval '1 min',
               make_interval(secs => {step})) at,
       LATERAL (SELECT ceil({step} / 60.0 * (1 + g * 7 % 9)
               * (1.2 + sin(extract(epoch FROM at) / 13751 + g % 10)))::int AS k) AS a,
       LATERAL (SELECT k * s.mean * (0.9 + 0.3 * random()) * CASE
               WHEN s.signal = 'loss' AND (g % 31 = 0 OR g % 37 = 0)
                    AND at > timestamptz '{end}' - interval '6 h' THEN 3 ELSE 1 END AS v) AS b,
       LATERAL (SELECT CASE WHEN s.mean > 1 THEN v ELSE least(k, round(v)) END AS t) AS c
 WHERE g % 29 <> 0
"""
_ALARM = """
INSERT INTO alerts (application_id, subject, kind, tier, state, title, detail, opened_at)
SELECT id, (2 * id)::text, 'loss', CASE WHEN id % 3 = 0 THEN 'rollback' ELSE 'page' END, 'firing',
       format('%s: %s:2 errs more than its reference', name, name), '{}',
       now() - id % 50 * interval '1 min'
  FROM applications
    ON CONFLICT DO NOTHING;
UPDATE alerts SET state = 'firing' WHERE kind = 'loss';
UPDATE signal_summaries SET total = round(n * 0.41), squares = round(n * 0.41)
 WHERE signal = 'loss' AND at > now() - interval '20 h';
"""


async def make(
    connection: asyncpg.Connection,
    end: datetime,
    *,
    applications: int,
    key: str,
    sums_from: int = 1,
) -> None:
    """Write the record of a week.

    Parameters
    ----------
    end
        Of the week; a whole hour.
    key
        Of an operator who may do everything.
    sums_from
        First application whose sums are made up; those before have rows.
    """
    start = end - timedelta(days=DAYS)
    moments = {"start": start.isoformat(), "end": end.isoformat()}
    digest = "\\x" + hashlib.sha256(key.encode()).hexdigest()
    names = ",".join(name(one) for one in range(1, applications + 1))
    await connection.execute(_MADE.format(names=names, hash=digest, **moments))
    for step, since in ((60, end - timedelta(days=1)), (3600, start)):
        await connection.execute(
            _SUMS.format(
                first=sums_from, n=applications, step=step, from_=since.isoformat(), **moments
            )
        )


async def alarm_everywhere(connection: asyncpg.Connection) -> None:
    """Let every application err: the worst night there can be."""
    await connection.execute(_ALARM)
