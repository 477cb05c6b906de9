"""The settings table, what users set in it, and where they set it."""

from celeriac.config.censor import mask_url
from celeriac.config.load import (
    environment_settings,
    load_settings,
    load_settings_from_envvar,
)
from celeriac.config.notices import (
    InactiveSettingWarning,
    OldSettingNameWarning,
    inactive_settings,
    warn_about_inactive,
)
from celeriac.config.schema import setting_table
from celeriac.config.settings import Settings
from celeriac.config.table import SettingInfo

__all__ = [
    "InactiveSettingWarning",
    "OldSettingNameWarning",
    "SettingInfo",
    "Settings",
    "environment_settings",
    "inactive_settings",
    "load_settings",
    "load_settings_from_envvar",
    "mask_url",
    "setting_table",
    "warn_about_inactive",
]
