"""What /metrics promises to dashboards, alerts and people: names, types and labels.

Everything that comes from a database has the label `database` besides those listed here.
"""

from __future__ import annotations

from typing import NamedTuple


class Promise(NamedTuple):
    type: str
    labels: frozenset[str]


def _gauge(*labels: str) -> Promise:
    return Promise("gauge", frozenset(labels))


def _counter(*labels: str) -> Promise:
    return Promise("counter", frozenset(labels))


def _histogram(*labels: str) -> Promise:
    return Promise("histogram", frozenset(labels))


def _info(*labels: str) -> Promise:
    return Promise("info", frozenset(labels))


DEPLOYMENT = {
    "loom_migration_applied": _gauge("version", "name", "phase"),
    "loom_deployment_object_present": _gauge("phase", "kind", "object"),
    "loom_deployment_timestamp_seconds": _gauge("phase"),
    "loom_deployment_warmup_active": _gauge(),
    # Beyond the design's list.
    "loom_migration_written_timestamp_seconds": _gauge("version"),
    "loom_deployment_history_rewritten_timestamp_seconds": _gauge(),
}

MFA = {
    "loom_users": _gauge(),
    "loom_mfa_enabled_users": _gauge("source"),
    "loom_mfa_discrepancies": _gauge("source"),
    "loom_mfa_flag_unset_users": _gauge(),
    "loom_mfa_methods": _gauge("method_type", "status"),
    "loom_mfa_backup_code_users": _gauge(),
    "loom_mfa_verifications": _gauge("status", "window"),
    "loom_mfa_view_populated": _gauge(),
    "loom_mfa_view_rows": _gauge(),
    "loom_mfa_view_refreshed_timestamp_seconds": _gauge(),
    "loom_mfa_refresh_job_last_success_timestamp_seconds": _gauge(),
    "loom_mfa_refresh_job_failures": _gauge(),
}

RESOURCE_LIBRARY = {
    "loom_resource_collections": _gauge(),
    "loom_resource_collection_items": _gauge(),
    "loom_resource_progress_records": _gauge(),
    "loom_resource_findings": _gauge("check"),
}

ROW_LEVEL_SECURITY = {
    "loom_rls_enabled": _gauge("table"),
    "loom_rls_policies": _gauge("table", "command"),
    "loom_rls_policy_present": _gauge("table", "policy"),
    "loom_rls_policy_column_references": _gauge("table", "column"),
    "loom_rls_policy_cycle_tables": _gauge(),
    "loom_rls_policies_changed_timestamp_seconds": _gauge("table"),
}

SECURITY = {
    "loom_security_definer_functions": _gauge("search_path"),
    "loom_security_definer_executable_functions": _gauge("role"),
    "loom_exposed_relations": _gauge("kind", "role"),
}

AUDIT_LOG = {
    "loom_audit_events": _gauge("event_type", "severity", "window"),
    "loom_audit_expected_event_present": _gauge("event_type"),
    "loom_audit_last_event_timestamp_seconds": _gauge("event_type"),
}

MATCHED = (
    "loom_statement_matched_calls_total",
    "loom_statement_matched_exec_seconds_total",
    "loom_statement_expected_exec_seconds_total",
    "loom_statement_expected_exec_seconds_squared_total",
    "loom_statement_expected_variance_seconds_squared_total",
    "loom_statement_deviation_seconds_squared_total",
)
"""Counters that exist only with a baseline."""

STATEMENTS = {
    **{name: _counter("class", "role") for name in MATCHED},
    "loom_statement_calls_total": _counter("class", "role"),
    "loom_statement_exec_seconds_total": _counter("class", "role"),
    "loom_statement_rows_total": _counter("class", "role"),
    "loom_statement_shared_blocks_hit_total": _counter("class", "role"),
    "loom_statement_shared_blocks_read_total": _counter("class", "role"),
    "loom_statements_classified": _gauge("how"),
    "loom_statements_slow": _gauge("class"),
    "loom_statement_slow_threshold_seconds": _gauge(),
    "loom_statement_mean_exec_seconds": _gauge("statement", "class", "role"),
    "loom_statement_info": _info("statement", "class", "text"),
    "loom_statement_resets_total": _counter(),
    "loom_statement_evictions_total": _counter(),
}

TABLES_AND_INDEXES = {
    "loom_table_rows_estimate": _gauge("table"),
    "loom_table_sequential_scans_total": _counter("table"),
    "loom_table_index_scans_total": _counter("table"),
    "loom_table_dead_rows": _gauge("table"),
    "loom_table_size_bytes": _gauge("table"),
    "loom_index_scans_total": _counter("table", "index"),
    "loom_index_valid": _gauge("table", "index"),
}

DATABASE = {
    "loom_database_up": _gauge(),
    "loom_database_transactions_total": _counter("outcome"),
    "loom_database_deadlocks_total": _counter(),
    "loom_database_connections": _gauge("state"),
    "loom_database_max_connections": _gauge(),
    "loom_database_size_bytes": _gauge(),
    "loom_database_stats_reset_timestamp_seconds": _gauge(),
    "loom_database_lock_waiters": _gauge(),
    "loom_database_oldest_transaction_seconds": _gauge(),
}

# Gauges that are shown again as they were before the deployment.
REMEMBERED = (
    "loom_database_size_bytes",
    "loom_exposed_relations",
    "loom_mfa_backup_code_users",
    "loom_mfa_discrepancies",
    "loom_mfa_enabled_users",
    "loom_mfa_flag_unset_users",
    "loom_mfa_methods",
    "loom_resource_collection_items",
    "loom_resource_collections",
    "loom_resource_findings",
    "loom_resource_progress_records",
    "loom_rls_policies",
    "loom_rls_policy_column_references",
    "loom_rls_policy_cycle_tables",
    "loom_security_definer_executable_functions",
    "loom_security_definer_functions",
    "loom_users",
)

BASELINE = {
    "loom_baseline_captured_timestamp_seconds": _gauge(),
    "loom_baseline_window_seconds": _gauge(),
    "loom_baseline_calls": _gauge("class", "role"),
    "loom_baseline_mean_exec_seconds": _gauge("class", "role"),
    "loom_baseline_relative_error": _gauge("class", "role"),
    "loom_baseline_hour_log_stddev": _gauge("class", "role"),
    # Beyond the design's list.
    "loom_baseline_state": _gauge("state"),
    "loom_baseline_refused": _gauge("reason"),
    "loom_baseline_collected_seconds": _gauge(),
    "loom_baseline_backtest_windows": _gauge(),
    "loom_baseline_backtest_pages": _gauge(),
}

VERDICT = {
    "loom_criterion_status": _gauge("criterion", "phase", "status"),
    "loom_deployment_verdict": _gauge("verdict"),
    "loom_daily_check_status": _gauge("day", "check", "status"),
    "loom_statement_change_ratio": _gauge("class"),
    "loom_statement_change_ratio_lower": _gauge("class"),
    "loom_statement_change_ratio_upper": _gauge("class"),
}

# About runs of queries, and so about a database.
EXPORTER = {
    "loom_exporter_query_state": _gauge("query", "state"),
    "loom_exporter_query_runs_total": _counter("query"),
    "loom_exporter_query_failures_total": _counter("query", "state"),
    "loom_exporter_query_duration_seconds": _histogram("query"),
    "loom_exporter_query_last_success_timestamp_seconds": _gauge("query"),
    "loom_exporter_query_interval_seconds": _gauge("query"),
    "loom_exporter_query_series": _gauge("query"),
    "loom_exporter_query_series_dropped_total": _counter("query"),
    "loom_exporter_query_skipped_total": _counter("query", "reason"),
    "loom_exporter_pool_connections": _gauge("state"),
}

# About the process alone: no label `database`.
PROCESS = {
    "loom_exporter_build_info": _info("version", "python_version"),
    "process_cpu_seconds_total": _counter(),
    "process_max_fds": _gauge(),
    "process_open_fds": _gauge(),
    "process_resident_memory_bytes": _gauge(),
    "process_start_time_seconds": _gauge(),
    "process_virtual_memory_bytes": _gauge(),
    # A gauge, as prometheus_client has it.
    "python_info": _gauge("implementation", "major", "minor", "patchlevel", "version"),
    "python_gc_collections_total": _counter("generation"),
    "python_gc_objects_collected_total": _counter("generation"),
    "python_gc_objects_uncollectable_total": _counter("generation"),
}

# Beyond the design's list. Each of them is about the process alone.
ADDED = {
    "loom_exporter_state_persistent": _gauge(),
    "loom_exporter_state_set_aside_timestamp_seconds": _gauge(),
    "loom_exporter_config_last_reload_successful": _gauge("what"),
    "loom_exporter_config_last_reload_success_timestamp_seconds": _gauge("what"),
}

OF_A_DATABASE: dict[str, Promise] = {
    name: Promise(promise.type, promise.labels | {"database"})
    for group in (
        DEPLOYMENT,
        MFA,
        RESOURCE_LIBRARY,
        ROW_LEVEL_SECURITY,
        SECURITY,
        AUDIT_LOG,
        STATEMENTS,
        TABLES_AND_INDEXES,
        DATABASE,
        BASELINE,
        VERDICT,
        EXPORTER,
    )
    for name, promise in group.items()
}

OF_A_DATABASE |= {f"{name}_baseline": OF_A_DATABASE[name] for name in REMEMBERED}

ALL: dict[str, Promise] = {**OF_A_DATABASE, **PROCESS, **ADDED}

WITH_A_BASELINE = frozenset(
    {
        *MATCHED,
        *(
            name
            for name in BASELINE
            if name not in ("loom_baseline_state", "loom_baseline_refused")
        ),
        *(f"{name}_baseline" for name in REMEMBERED),
        *(name for name in VERDICT if name.startswith("loom_statement_change_")),
    }
)
"""Metrics that have no sample until there is a baseline, or one is collected."""
