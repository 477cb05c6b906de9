"""Celery's settings that are not in the table, each with the reason and what to do instead.

Naming one is an error that tells both: what is accepted must have a meaning here, now or later.
"""

from __future__ import annotations

from typing import Final

# Document databases that few use for results, through client libraries that are proprietary, retired or
# hardly kept up (couchbase, pydocumentdb, pyArango). A package of its own can still register such a store
# under the entry point group `celeriac.backends` and take its options from
# `result_backend_transport_options`.
_NO_BACKEND: Final = (
    "there is no {store} result backend here; use another one, or a package that provides it through the "
    "entry point group 'celeriac.backends'"
)

_REASONS: Final = {
    "couchbase_": _NO_BACKEND.format(store="Couchbase"),
    "arangodb_": _NO_BACKEND.format(store="ArangoDB"),
    "cosmosdbsql_": _NO_BACKEND.format(store="Cosmos DB"),
    # Celery counts the done tasks of a chord in Firestore when results are in Google Cloud Storage; here
    # members are recorded in the store itself.
    "firestore_": "chords on Google Cloud Storage need no Firestore here; remove it",
}

_NAMES: Final = (
    "couchbase_backend_settings",
    "arangodb_backend_settings",
    "cosmosdbsql_database_name",
    "cosmosdbsql_collection_name",
    "cosmosdbsql_consistency_level",
    "cosmosdbsql_max_retry_attempts",
    "cosmosdbsql_max_retry_wait_time",
    "firestore_project",
)


def reason_without(name: str) -> str | None:
    """Why a setting of Celery, by any of its names, is not in the table; None if it is not such a setting."""
    plain = name.lower().removeprefix("celery_")
    if plain not in _NAMES:
        return None
    return next(reason for prefix, reason in _REASONS.items() if plain.startswith(prefix))


def left_out() -> dict[str, str]:
    """All settings that are left out, with the reason."""
    return {name: reason for name in _NAMES if (reason := reason_without(name)) is not None}
