"""Views for dashboards, and a role that may read them and nothing else."""

from collections.abc import Sequence

from alembic import op

revision: str = "c4d1e86a7b52"
down_revision: str | Sequence[str] | None = "7f33dfcafa4b"
branch_labels: None = None
depends_on: None = None

READER = "leadsman_reader"

# ruff: noqa: E501  # SQL reads better in its own lines

VERSION = """(SELECT string_agg(coalesce(m.name || ':' || v.version, 'version ' || p.number), ' against ' ORDER BY p.place)
                  FROM string_to_table(split_part(%s.subject, '|', 1), ',') WITH ORDINALITY AS p (number, place)
                  LEFT JOIN versions v ON v.id::text = p.number
                  LEFT JOIN models m ON m.id = v.model_id)"""
"""Names of the versions of a subject such as `4,3|region=north`, as people read them. It stands in
the views themselves: a function would look at the tables with the rights of who asks."""

VIEWS = {
    "revision_log": """
        SELECT r.created_at, a.name AS application, r.revision, r.kind,
               coalesce(r.policy ->> 'champion', r.policy ->> 'kind') AS serves,
               r.policy, r.restores, r.decided_at, r.actor, r.reason
          FROM revisions r JOIN applications a ON a.id = r.application_id
         WHERE a.deleted_at IS NULL
    """,
    "subject_log": f"""
        SELECT k.application, k.subject, {VERSION % "k"} AS version, split_part(k.subject, '|', 2) AS segment
          FROM (SELECT DISTINCT a.name AS application, s.subject
                  FROM watch_states s JOIN watches w ON w.id = s.watch_id
                  JOIN applications a ON a.id = w.application_id
                 WHERE a.deleted_at IS NULL) AS k
    """,
    "feature_log": """
        SELECT DISTINCT a.name AS application, f.name AS feature
          FROM applications a JOIN input_schemas i ON i.application_id = a.id
         CROSS JOIN LATERAL jsonb_array_elements_text(i.features) AS f (name)
         WHERE a.deleted_at IS NULL
    """,
    "signal_log": f"""
        SELECT s.at, s.step_s, a.name AS application, s.signal, s.subject, {VERSION % "s"} AS version,
               split_part(s.subject, '|', 2) AS segment, s.n,
               s.total / s.n AS mean,
               CASE WHEN s.n > 1 THEN
                    1.96 * sqrt(greatest(s.squares - s.total * s.total / s.n, 0) / (s.n - 1) / s.n) END AS half_width
          FROM signal_summaries s JOIN applications a ON a.id = s.application_id
         WHERE s.n > 0 AND a.deleted_at IS NULL
    """,
    "watch_log": f"""
        SELECT a.name AS application, w.name AS watch, w.signal, w.detector, w.tier, w.mode,
               {VERSION % "s"} AS version, split_part(s.subject, '|', 2) AS segment,
               s.status, s.status_reason, s.statistic, s.observations, s.granted, s.alarms,
               s.last_observed_at, s.updated_at
          FROM watch_states s JOIN watches w ON w.id = s.watch_id
          JOIN applications a ON a.id = w.application_id
         WHERE w.enabled AND a.deleted_at IS NULL
    """,
    "alarm_log": f"""
        SELECT l.alarmed_at, l.id, a.name AS application, w.name AS watch, w.signal, l.tier,
               {VERSION % "l"} AS version, split_part(l.subject, '|', 2) AS segment,
               l.statistic, l.threshold, l.onset_at
          FROM alarms l JOIN applications a ON a.id = l.application_id
          LEFT JOIN watches w ON w.id = l.watch_id
         WHERE a.deleted_at IS NULL
    """,
    "alert_log": f"""
        SELECT t.opened_at, t.id, a.name AS application, t.kind, t.tier, t.state, t.title,
               {VERSION % "t"} AS version, split_part(t.subject, '|', 2) AS segment,
               t.updated_at, t.resolved_at
          FROM alerts t JOIN applications a ON a.id = t.application_id
         WHERE a.deleted_at IS NULL
    """,
    "remedy_log": """
        SELECT r.decided_at, r.id, a.name AS application, r.kind, r.mode, r.state, r.state_reason,
               r.acted_at, r.from_revision, r.to_revision, r.outcome, r.alert_id
          FROM remedies r JOIN applications a ON a.id = r.application_id
         WHERE a.deleted_at IS NULL
    """,
}
"""What dashboards ask, in names instead of numbers. They read with their owner's rights: who may
read a view needs no right on a table, and sees no key, no secret of a webhook and no checkpoint."""

GRANTED = (*VIEWS, "prediction_log", "feedback_log")


def upgrade() -> None:
    """Apply it."""
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query}")
    # A role belongs to the whole server: another database's migration may have made it, or be
    # making it now. Who may not make roles goes on without; docs/grafana.md has the statements.
    op.execute(
        f"""
        DO $$ BEGIN
            CREATE ROLE {READER} NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE WARNING 'the role {READER} was not made: it needs the right to create roles';
        END $$
        """
    )
    op.execute(
        f"""
        DO $$ BEGIN
            IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{READER}') THEN
                GRANT SELECT ON {", ".join(GRANTED)} TO {READER};
            END IF;
        END $$
        """
    )


def downgrade() -> None:
    """Take it back. The role goes unless another database of the server still knows it."""
    op.execute(
        f"""
        DO $$ BEGIN
            IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{READER}') THEN
                REVOKE ALL ON {", ".join(GRANTED)} FROM {READER};
                DROP ROLE {READER};
            END IF;
        EXCEPTION
            WHEN dependent_objects_still_exist OR insufficient_privilege OR object_in_use THEN
                REVOKE ALL ON {", ".join(GRANTED)} FROM {READER};
        END $$
        """
    )
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW {name}")
