"""YAML by PyYAML's safe loader and dumper, as kombu uses it. PyYAML is an extra."""

from __future__ import annotations

from typing import Any

from celeriac.exceptions import CeleriacError, DecodeError, EncodeError

_MISSING = 'the yaml serializer needs PyYAML: pip install "celeriac[yaml]"'


def encode_yaml(value: object) -> bytes:
    """Return `value` as a YAML document.

    Raises:
        EncodeError: PyYAML is not installed.
        TypeError: a type that safe YAML has no form for.
    """
    yaml = _pyyaml(EncodeError)
    try:
        return yaml.safe_dump(value).encode("utf-8")  # type: ignore[no-any-return]
    except yaml.YAMLError as error:
        raise TypeError(f"not YAML serializable: {error}") from error


def decode_yaml(body: bytes) -> Any:
    """Return the value of a YAML document.

    Raises:
        DecodeError: not YAML, a tag that the safe loader does not know, or PyYAML is not installed.
    """
    yaml = _pyyaml(DecodeError)
    try:
        return yaml.safe_load(body)
    except Exception as error:  # its constructors let plain errors out, for example ValueError for 2026-13-45
        raise DecodeError(f"the body is not valid YAML: {error}") from error


def _pyyaml(error_class: type[CeleriacError]) -> Any:
    try:
        import yaml  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise error_class(_MISSING) from error
    return yaml
