"""Where plugins and their Python packages come from, and what Dify asks the internet for by itself."""

from __future__ import annotations

from dataclasses import dataclass

from dify_cdk._arguments import checked
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


@checked
@dataclass(frozen=True, kw_only=True, slots=True)
class Plugins:
    """Where plugins and the Python packages they need come from.

    The plugin daemon installs the packages of a plugin when that is installed, and of every plugin each time
    its task starts: without an index that it can reach, no plugin runs.

    Attributes:
        marketplace: Whether plugins can be installed from Dify's marketplace. Without it an administrator
            uploads packages, which have to be signed by it all the same. Default: where the subnets of the
            tasks have a way out.
        pip_mirror_url: Package index instead of the public one, such as
            ``http://pypi.example.internal:8080/simple``, for everybody to read. In a network without a way
            out it has to have an address of the VPC. Lock files of plugins name the public index and are
            ignored with it. Default: the public index.

    Raises:
        ValueError: If the URL is malformed or carries credentials.

    Example:
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
            closed: Whether the tasks have no way out.
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
