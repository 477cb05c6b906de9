"""Settings of single result backends: Redis, databases, and the stores of cloud providers.

Left out are those of Celery's backends that make no sense here; `celery_only` names them and says why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.config.table import Section, setting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class RedisSettings(
    Section,
    title="Result backend: Redis",
    intro="What the URL or `result_backend_transport_options` say takes precedence.",
):
    """Parts of the URL and options of the connection; the URL is the better place for most."""

    redis_host: str | None = setting(
        None, "Host, where the URL names none; None: localhost.", old=("CELERY_REDIS_HOST",)
    )
    redis_port: int | None = setting(
        None,
        "Port, where the URL names none; None: 6379, of sentinels 26379.",
        old=("CELERY_REDIS_PORT",),
        at_least=1,
        at_most=65535,
    )
    redis_db: int | None = setting(
        None,
        "Number of the database, where the URL names none; None: 0.",
        old=("CELERY_REDIS_DB",),
        at_least=0,
    )
    redis_username: str | None = setting(None, "User, where the URL names none.", old=("CELERY_REDIS_USERNAME",))
    redis_password: str | None = setting(None, "Password, where the URL has none.", old=("CELERY_REDIS_PASSWORD",))
    redis_backend_use_ssl: dict[str, Any] | bool | None = setting(
        None,
        "TLS: True, or options of the connection (`ssl_cert_reqs`, `ssl_ca_certs`, ...); `rediss://` means True.",
        old=("CELERY_REDIS_BACKEND_USE_SSL",),
    )
    redis_backend_credential_provider: str | Callable[..., Any] | None = setting(
        None,
        "Where user and password come from: a class of redis-py's credential providers, or its name.",
        old=("CELERY_REDIS_BACKEND_CREDENTIAL_PROVIDER",),
    )
    redis_backend_health_check_interval: float | None = setting(
        None,
        "Check a connection that was idle for this long before it is used; 0 or None: never.",
        unit="s",
        at_least=0,
    )
    redis_client_name: str | None = setting(None, "Name of the connections, for CLIENT LIST.")
    redis_max_connections: int | None = setting(
        None, "Most connections.", old=("CELERY_REDIS_MAX_CONNECTIONS",), at_least=1
    )
    redis_socket_timeout: float | None = setting(
        120.0,
        "How long to wait for an answer; None: 120.",
        unit="s",
        old=("CELERY_REDIS_SOCKET_TIMEOUT",),
        above=0,
    )
    redis_socket_connect_timeout: float | None = setting(
        None,
        "How long to try for a connection; None: as `broker_connection_timeout`.",
        unit="s",
        old=("CELERY_REDIS_SOCKET_CONNECT_TIMEOUT",),
        above=0,
    )
    redis_retry_on_timeout: bool = setting(
        False,
        "Ask again when no answer came in time.",
        old=("CELERY_REDIS_RETRY_ON_TIMEOUT",),
        moot="whoever waits for a result asks again anyway",
    )
    redis_socket_keepalive: bool = setting(False, "Use TCP keepalive.", old=("CELERY_REDIS_SOCKET_KEEPALIVE",))


class DatabaseSettings(Section, title="Result backend: SQL databases"):
    """Celery's tables through SQLAlchemy."""

    database_url: str | None = setting(
        None,
        "SQLAlchemy's URL; `result_backend='db+...'` is the same.",
        old=("CELERY_RESULT_DBURI",),
        later="stores",
    )
    database_engine_options: dict[str, Any] = setting(
        {"pool_pre_ping": True, "pool_recycle": 3600},
        "Arguments of `create_engine`.",
        old=("CELERY_RESULT_ENGINE_OPTIONS",),
        later="stores",
    )
    database_engine_callback: str | Callable[..., Any] | None = setting(
        None, "Function that gets the new engine.", old=("DATABASE_ENGINE_CALLBACK",), later="stores"
    )
    database_short_lived_sessions: bool = setting(
        False, "A session for each operation.", old=("CELERY_RESULT_DB_SHORT_LIVED_SESSIONS",), later="stores"
    )
    database_table_schemas: dict[str, str] | None = setting(
        None,
        "Schemas of the tables: `{'task': ..., 'group': ...}`.",
        old=("DATABASE_TABLE_SCHEMAS",),
        later="stores",
    )
    database_table_names: dict[str, str] | None = setting(
        None,
        "Names of the tables: `{'task': ..., 'group': ...}`.",
        old=("CELERY_RESULT_DB_TABLENAMES", "CELERY_RESULT_DB_TABLE_NAMES"),
        later="stores",
    )
    database_create_tables_at_setup: bool = setting(
        True,
        "Make the tables at the start; False: at first use.",
        old=("DATABASE_CREATE_TABLES_AT_SETUP",),
        later="stores",
    )


class CacheSettings(Section, title="Result backend: memcached"):
    """A cache as result store."""

    cache_backend: str | None = setting(
        None, "URL of the cache for `result_backend='cache'`.", old=("CELERY_CACHE_BACKEND",), later="stores"
    )
    cache_backend_options: dict[str, Any] = setting(
        {}, "Options of its client.", old=("CELERY_CACHE_BACKEND_OPTIONS",), later="stores"
    )


class DocumentSettings(Section, title="Result backends: MongoDB, Elasticsearch, DynamoDB"):
    """Document stores."""

    mongodb_backend_settings: dict[str, Any] | None = setting(
        None,
        "`database`, `taskmeta_collection`, `max_pool_size`, `options`, ...",
        old=("CELERY_MONGODB_BACKEND_SETTINGS",),
        later="stores",
    )
    elasticsearch_retry_on_timeout: bool | None = setting(
        None,
        "Ask again when no answer came in time.",
        old=("CELERY_ELASTICSEARCH_RETRY_ON_TIMEOUT",),
        later="stores",
    )
    elasticsearch_max_retries: int | None = setting(
        None, "How often.", old=("CELERY_ELASTICSEARCH_MAX_RETRIES",), later="stores", at_least=0
    )
    elasticsearch_timeout: float | None = setting(
        None,
        "How long to wait for an answer.",
        unit="s",
        old=("CELERY_ELASTICSEARCH_TIMEOUT",),
        later="stores",
        above=0,
    )
    elasticsearch_save_meta_as_text: bool = setting(
        True,
        "Store results as text; False: as fields that can be searched.",
        old=("CELERY_ELASTICSEARCH_SAVE_META_AS_TEXT",),
        later="stores",
    )
    dynamodb_endpoint_url: str | None = setting(None, "Address of a server of one's own.", later="stores")


class CassandraSettings(Section, title="Result backend: Cassandra"):
    """Celery's table in Cassandra or Astra."""

    cassandra_servers: Sequence[str] | None = setting(None, "Hosts.", old=("CASSANDRA_SERVERS",), later="stores")
    cassandra_port: int | None = setting(
        None, "Port; None: 9042.", old=("CASSANDRA_PORT",), later="stores", at_least=1, at_most=65535
    )
    cassandra_keyspace: str | None = setting(None, "Keyspace.", old=("CASSANDRA_KEYSPACE",), later="stores")
    cassandra_table: str | None = setting(
        None, "Table.", old=("CASSANDRA_TABLE", "CASSANDRA_COLUMN_FAMILY"), later="stores"
    )
    cassandra_entry_ttl: float | None = setting(
        None, "How long rows are kept.", unit="s", old=("CASSANDRA_ENTRY_TTL",), later="stores", above=0
    )
    cassandra_read_consistency: str | None = setting(
        None, "Consistency of reads, 'LOCAL_QUORUM'.", old=("CASSANDRA_READ_CONSISTENCY",), later="stores"
    )
    cassandra_write_consistency: str | None = setting(
        None, "Consistency of writes.", old=("CASSANDRA_WRITE_CONSISTENCY",), later="stores"
    )
    cassandra_bundle_path: str | None = setting(
        None, "File of Astra's connect bundle.", unit="path", old=("CASSANDRA_BUNDLE_PATH",), later="stores"
    )
    cassandra_secure_bundle_path: str | None = setting(
        None, "The same, by the name in Celery's documentation.", unit="path", later="stores"
    )
    cassandra_auth_provider: str | None = setting(
        None, "Class in `cassandra.auth`.", old=("CASSANDRA_AUTH_PROVIDER",), later="stores"
    )
    cassandra_auth_kwargs: dict[str, Any] | None = setting(
        None, "Arguments of it.", old=("CASSANDRA_AUTH_KWARGS",), later="stores"
    )
    cassandra_options: dict[str, Any] = setting(
        {}, "Arguments of `Cluster`.", old=("CASSANDRA_OPTIONS",), later="stores"
    )


class ObjectStoreSettings(Section, title="Result backends: S3, Azure, Google Cloud Storage"):
    """Objects in a bucket or container."""

    s3_access_key_id: str | None = setting(None, "Key id.", old=("S3_ACCESS_KEY_ID",), later="stores")
    s3_secret_access_key: str | None = setting(None, "Secret key.", old=("S3_SECRET_ACCESS_KEY",), later="stores")
    s3_bucket: str | None = setting(None, "Bucket.", old=("S3_BUCKET",), later="stores")
    s3_base_path: str | None = setting(None, "Prefix of the objects.", old=("S3_BASE_PATH",), later="stores")
    s3_endpoint_url: str | None = setting(
        None, "Address of a server of one's own.", old=("S3_ENDPOINT_URL",), later="stores"
    )
    s3_region: str | None = setting(None, "Region.", old=("S3_REGION",), later="stores")
    azureblockblob_container_name: str = setting(
        "celery", "Container.", old=("AZUREBLOCKBLOB_CONTAINER_NAME",), later="stores"
    )
    azureblockblob_base_path: str = setting(
        "", "Prefix of the objects.", old=("AZUREBLOCKBLOB_BASE_PATH",), later="stores"
    )
    azureblockblob_retry_initial_backoff_sec: float = setting(
        2,
        "The first pause before another try.",
        unit="s",
        old=("AZUREBLOCKBLOB_RETRY_INITIAL_BACKOFF_SEC",),
        later="stores",
        at_least=0,
    )
    azureblockblob_retry_increment_base: float = setting(
        2,
        "Base by which it grows.",
        old=("AZUREBLOCKBLOB_RETRY_INCREMENT_BASE",),
        later="stores",
        at_least=0,
    )
    azureblockblob_retry_max_attempts: int = setting(
        3, "How many tries.", old=("AZUREBLOCKBLOB_RETRY_MAX_ATTEMPTS",), later="stores", at_least=0
    )
    azureblockblob_connection_timeout: float = setting(
        20,
        "How long to try for a connection.",
        unit="s",
        old=("AZUREBLOCKBLOB_CONNECTION_TIMEOUT",),
        later="stores",
        above=0,
    )
    azureblockblob_read_timeout: float = setting(
        120,
        "How long to wait for an answer.",
        unit="s",
        old=("AZUREBLOCKBLOB_READ_TIMEOUT",),
        later="stores",
        above=0,
    )
    gcs_bucket: str | None = setting(None, "Bucket.", old=("GCS_BUCKET",), later="stores")
    gcs_project: str | None = setting(None, "Project.", old=("GCS_PROJECT",), later="stores")
    gcs_base_path: str = setting("", "Prefix of the objects.", old=("GCS_BASE_PATH",), later="stores")
    gcs_ttl: float = setting(
        0,
        "How long objects are kept, with a lifecycle rule of the bucket; 0: for ever.",
        unit="s",
        old=("GCS_TTL",),
        later="stores",
        at_least=0,
    )
    gcs_threadpool_maxsize: int = setting(10, "Threads of its client.", later="stores", at_least=1)
