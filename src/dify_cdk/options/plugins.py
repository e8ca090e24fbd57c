"""Where plugins and their Python packages come from, and what Dify asks the internet for by itself."""

from __future__ import annotations

from dataclasses import dataclass

from dify_cdk._checks import require_index_url

_WITHOUT_MARKETPLACE = {
    "MARKETPLACE_ENABLED": "false",
    "ENABLE_CHECK_UPGRADABLE_PLUGIN_TASK": "false",  # asks the marketplace
    "CREATORS_PLATFORM_FEATURES_ENABLED": "false",
}
_WITHOUT_INTERNET = {
    # The templates of the images instead of those of a site that is waited for in vain.
    "HOSTED_FETCH_APP_TEMPLATES_MODE": "builtin",
    "HOSTED_FETCH_PIPELINE_TEMPLATES_MODE": "builtin",
    "PIP_MIRROR_AUTO_DETECT": "false",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Plugins:
    """Where plugins and the Python packages they need come from.

    The plugin daemon installs a plugin's Python packages when the plugin is installed, and those of all
    plugins each time its task starts: without a package index that it can reach, no plugin runs.

    Attributes:
        marketplace: Whether plugins can be installed from Dify's marketplace. Without it an administrator
            uploads plugin packages, which still have to be signed by the marketplace. Default: True if the
            subnets of the tasks have internet egress.
        pip_mirror_url: Package index instead of the public one, such as
            ``http://pypi.example.internal:8080/simple``, readable without credentials. In a network without
            internet egress it has to have an address in the VPC. The plugins' lock files are then ignored,
            because they name the public index. Default: the public index.

    Raises:
        ValueError: If the URL is malformed or contains credentials.

    Examples:
        >>> plugins = Plugins(marketplace=False, pip_mirror_url="http://pypi.example.internal:8080/simple")
    """

    marketplace: bool | None = None
    pip_mirror_url: str | None = None

    def __post_init__(self) -> None:
        """Check the URL."""
        if self.pip_mirror_url is not None:
            require_index_url("Plugins.pip_mirror_url", self.pip_mirror_url)

    def environment(self, *, closed: bool) -> dict[str, str]:
        """Variables that differ from Dify's defaults.

        Args:
            closed: Whether the tasks have no internet egress.
        """
        marketplace = not closed if self.marketplace is None else self.marketplace
        variables = {} if marketplace else dict(_WITHOUT_MARKETPLACE)
        if closed:
            variables |= _WITHOUT_INTERNET
        if self.pip_mirror_url is not None:
            variables |= {
                "PLUGIN_PIP_MIRROR_URL": self.pip_mirror_url,
                "PIP_MIRROR_AUTO_DETECT": "false",  # it would prefer what answers fastest
                "PLUGIN_IGNORE_UV_LOCK": "true",
            }
        return variables
