"""A login before Dify's own: Amazon Cognito at the load balancer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dify_cdk._checks import require_between

if TYPE_CHECKING:
    from aws_cdk import aws_cognito as cognito

_WEEK_HOURS = 168  # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html


@dataclass(frozen=True, kw_only=True)
class Login:
    """Users sign in to Amazon Cognito at the load balancer before a request reaches Dify.

    Users of published web apps need an account in the pool too. Without a session, pages redirect to
    Cognito's sign-in page, and requests of scripts are answered with 401. Dify's own login follows: Cognito
    decides who reaches the installation, Dify who somebody is in it. Paths that programs call or that hold
    signed links (``/v1``, ``/files``, ``/mcp``, ``/triggers``, ``/e/`` ...) have no login before them: Dify's
    own keys guard those. Web apps embedded in other sites stay empty, because Cognito's sign-in page cannot
    be shown in a frame.

    Attributes:
        user_pool: An existing pool. From an imported one only users of the pool itself can sign in, not those
            of its external identity providers. Default: one is defined, without self sign-up: you add users
            with ``aws cognito-idp admin-create-user``. It is retained when the login or the stack is removed;
            pass it here if you add the login again, or a new, empty one is defined.
        user_pool_domain: The existing pool's domain. Default: one with a unique prefix is defined; a pool can
            have only one of its kind.
        session_hours: Hours until a user has to sign in again, 1 to 168.

    Raises:
        ValueError: If ``user_pool_domain`` is given without ``user_pool``, or ``session_hours`` is out of
            range.

    See https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html
    """

    user_pool: cognito.IUserPool | None = None
    user_pool_domain: cognito.IUserPoolDomain | None = None
    session_hours: int = 12

    def __post_init__(self) -> None:
        """Check the session's length, and that the domain's pool is known."""
        require_between("Login.session_hours", self.session_hours, 1, _WEEK_HOURS)
        if self.user_pool_domain is not None and self.user_pool is None:
            raise ValueError("Login.user_pool_domain needs the pool it belongs to, pass user_pool= as well")
