"""Amazon Cognito before pages and scripts, by the route table's classes."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_elasticloadbalancingv2_actions as actions
from constructs import Construct

from dify_cdk.cdk_helpers.nag import acknowledge
from dify_cdk.cdk_helpers.names import guid_part
from dify_cdk.dify.routes import RouteClass
from dify_cdk.options.login import Login

_CALLBACK = "/oauth2/idpresponse"  # the load balancer answers it itself
_PASSWORD_LENGTH = 12

_WITHOUT_SESSION = {
    RouteClass.API: elbv2.UnauthenticatedAction.DENY,
    RouteClass.PAGE: elbv2.UnauthenticatedAction.AUTHENTICATE,
}


class CognitoLogin(Construct):
    """The user pool, its sign-in page, and the load balancer as its client.

    Args:
        login: What the caller chose.
        host_name: Host name that browsers come back to.
    """

    def __init__(self, scope: Construct, id: str, *, login: Login, host_name: str) -> None:
        super().__init__(scope, id)
        self._session = login.session_hours
        self._pool = login.user_pool or self._define_pool()
        self._domain = login.user_pool_domain or self._define_domain()
        self._client = cognito.UserPoolClient(
            self,
            "Client",
            user_pool=self._pool,
            generate_secret=True,
            prevent_user_existence_errors=True,
            o_auth=cognito.OAuthSettings(
                flows=cognito.OAuthFlows(authorization_code_grant=True),
                scopes=[cognito.OAuthScope.OPENID],
                callback_urls=[f"https://{host_name}{_CALLBACK}"],
                logout_urls=[f"https://{host_name}"],
            ),
        )

    @property
    def user_pool(self) -> cognito.IUserPool:
        """Who may sign in."""
        return self._pool

    def guard(self, route_class: RouteClass, action: elbv2.ListenerAction) -> elbv2.ListenerAction:
        """The action for those who have a session, behind what others get; open paths have no guard."""
        without_session = _WITHOUT_SESSION.get(route_class)
        if without_session is None:
            return action
        return actions.AuthenticateCognitoAction(
            next=action,
            user_pool=self._pool,
            user_pool_client=self._client,
            user_pool_domain=self._domain,
            on_unauthenticated_request=without_session,
            session_timeout=cdk.Duration.hours(self._session),
        )

    def _define_pool(self) -> cognito.UserPool:
        pool = cognito.UserPool(
            self,
            "UserPool",
            self_sign_up_enabled=False,
            sign_in_aliases=cognito.SignInAliases(email=True),
            sign_in_case_sensitive=False,
            account_recovery=cognito.AccountRecovery.EMAIL_ONLY,
            mfa=cognito.Mfa.OPTIONAL,
            mfa_second_factor=cognito.MfaSecondFactor(sms=False, otp=True),
            password_policy=cognito.PasswordPolicy(
                min_length=_PASSWORD_LENGTH,
                require_lowercase=True,
                require_uppercase=True,
                require_digits=True,
                require_symbols=True,
            ),
            feature_plan=cognito.FeaturePlan.ESSENTIALS,
            removal_policy=cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
        reasons = {
            "AwsSolutions-COG2": "a second factor is each user's choice; pass your own pool to require it",
            "AwsSolutions-COG3": "threat protection has a price for each user; pass your own pool to pay it",
            "AwsSolutions-COG8": "the Plus plan has a price for each user; pass your own pool to pay it",
        }
        acknowledge(pool, reasons)
        return pool

    def _define_domain(self) -> cognito.UserPoolDomain:
        return cognito.UserPoolDomain(
            self,
            "PoolDomain",
            user_pool=self._pool,
            cognito_domain=cognito.CognitoDomainOptions(domain_prefix=self._prefix()),
        )

    def _prefix(self) -> str:
        """A prefix that nobody in the region has: the stack's unique id, and this construct's place in it."""
        return f"dify-{self.node.addr[:8]}-{guid_part(self, 4)}"
