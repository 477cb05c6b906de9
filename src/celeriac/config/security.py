"""Settings of signed messages."""

from __future__ import annotations

from celeriac.config.table import Section, setting


class SecuritySettings(Section, title="Security"):
    """With which keys messages are signed, and which are trusted."""

    security_key: str | None = setting(
        None, "File of the private key.", unit="path", old=("CELERY_SECURITY_KEY",), later="security"
    )
    security_key_password: str | bytes | None = setting(
        None, "Password of the private key.", old=("CELERY_SECURITY_KEY_PASSWORD",), later="security"
    )
    security_certificate: str | None = setting(
        None, "File of the certificate.", unit="path", old=("CELERY_SECURITY_CERTIFICATE",), later="security"
    )
    security_cert_store: str | None = setting(
        None,
        "Pattern of the files of trusted certificates.",
        unit="path",
        old=("CELERY_SECURITY_CERT_STORE",),
        later="security",
    )
    security_digest: str = setting("sha256", "Hash of signatures.", old=("CELERY_SECURITY_DIGEST",), later="security")
