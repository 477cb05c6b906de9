"""The settings table, what users set in it, and where they set it."""

from celeriac.config.censor import mask_url
from celeriac.config.collect import OldSettingNameWarning
from celeriac.config.load import (
    build_settings,
    environment_settings,
    load_settings,
    load_settings_from_envvar,
)
from celeriac.config.schema import setting_table
from celeriac.config.settings import Settings
from celeriac.config.table import SettingInfo

__all__ = [
    "OldSettingNameWarning",
    "SettingInfo",
    "Settings",
    "build_settings",
    "environment_settings",
    "load_settings",
    "load_settings_from_envvar",
    "mask_url",
    "setting_table",
]
