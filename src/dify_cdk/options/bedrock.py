"""Which of Amazon Bedrock's models plugins may use: the permissions of the plugin daemon, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dify_cdk._checks import is_token, require_list, require_match

_INVOKE = ("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream")  # Converse uses the same two
_PROFILE_AREAS = ("us", "us-gov", "eu", "apac", "jp", "au", "ca", "global")
"""What an inference profile puts before a model's id: where its requests may be routed to."""

_MODEL = r"[A-Za-z0-9*?][A-Za-z0-9.:*?_-]*"
_REGION = r"[a-z]{2,}(-[a-z]+)+-[0-9]+"
_ID = r"[A-Za-z0-9]{1,64}"
_ROLE = r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+"


@dataclass(frozen=True, slots=True)
class Statement:
    """An allowance: each of the actions on each of the resources."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bedrock:
    """What plugins may do with Amazon Bedrock, through the plugin daemon's task role.

    Every installed plugin has these permissions, because plugins are child processes of the daemon. In
    Dify's form of the Bedrock plugin choose the authentication ``IAM Role`` and leave the keys empty. The
    form checks its input with ``amazon.nova-pro-v1:0`` unless it names another model: one of the two must be
    among those allowed.

    Attributes:
        models: Ids of foundation models as Bedrock lists them, with the wildcards ``*`` and ``?``, such as
            ``anthropic.claude-*``. Inference profiles of a model are allowed with it. An empty list allows
            none. Default: all models.
        regions: Regions in which models may run. An inference profile routes to several: name all, such as
            ``us-east-1``, ``us-east-2`` and ``us-west-2`` for ``us.`` profiles; ``global.`` profiles need
            the default. Knowledge bases and guardrails are limited to these regions as well. Default: all
            regions.
        knowledge_bases: Ids of Bedrock knowledge bases that plugins may search: whoever may use a plugin
            reads what is in them. ``RetrieveAndGenerate``, which AWS cannot limit to one, is allowed as soon
            as one is named. Default: none.
        guardrails: Ids of guardrails that plugins may apply. Default: none.
        assume_roles: ARNs of roles, such as one in the account that pays for the models, which plugins may
            assume. The Bedrock plugin has no field for a role (at version 0.0.80): this is for plugins that
            have one. Each role's trust policy has to name the daemon's task role. Default: none.

    Raises:
        ValueError: If an entry is malformed, ``regions`` is an empty list, or a model is written with the
            prefix of an inference profile.

    See https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonbedrock.html

    Examples:
        >>> models = Bedrock(models=["anthropic.claude-*", "amazon.nova-*"], regions=["eu-central-1"])
    """

    models: Sequence[str] | None = None
    regions: Sequence[str] | None = None
    knowledge_bases: Sequence[str] = ()
    guardrails: Sequence[str] = ()
    assume_roles: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check every entry: a misspelled ARN would only be seen when a model is refused."""
        _check("models", self.models, _MODEL, "model ids such as anthropic.claude-*")
        _check("regions", self.regions, _REGION, "regions such as us-east-1")
        _check("knowledge_bases", self.knowledge_bases, _ID, "ids of letters and digits such as ABCDEFGHIJ")
        _check("guardrails", self.guardrails, _ID, "ids of letters and digits such as abcdefghij12")
        _check("assume_roles", self.assume_roles, _ROLE, "ARNs of roles")
        for model in self.models or ():
            area, _, rest = model.partition(".")
            if area in _PROFILE_AREAS:
                raise ValueError(
                    f"Bedrock.models must hold ids of models, got the inference profile {model!r}: write "
                    f"{rest!r}, which allows its profiles as well"
                )
        if self.regions is not None and not self.regions:
            raise ValueError("Bedrock.regions must not be empty: None allows all regions")

    def statements(self, *, partition: str, account: str) -> tuple[Statement, ...]:
        """What the task role is allowed.

        Args:
            partition: ``aws`` or another one; may be a token.
            account: The account of the stack; may be a token.
        """
        return tuple(
            statement
            for statement in (
                *self._on_models(partition, account),
                *self._on_knowledge_bases(partition, account),
                Statement(
                    ("bedrock:ApplyGuardrail",),
                    self._arns(partition, account, [f"guardrail/{id}" for id in self.guardrails]),
                ),
                Statement(("sts:AssumeRole",), tuple(self.assume_roles)),
            )
            if statement.resources
        )

    def _on_models(self, partition: str, account: str) -> tuple[Statement, ...]:
        models = ["*"] if self.models is None else list(self.models)
        if not models:
            return ()
        own = "*" if self.models is None else None
        # Ids of application profiles say nothing of their model, which has to be allowed as well.
        profiles = [
            *(f"inference-profile/{own or f'*.{model}'}" for model in models),
            "application-inference-profile/*",
        ]
        foundation = self._arns(partition, "", [f"foundation-model/{model}" for model in models])
        of_profiles = self._arns(partition, account, profiles)
        return (
            Statement(_INVOKE, (*foundation, *of_profiles)),
            Statement(("bedrock:GetInferenceProfile",), of_profiles),
            # These have no resources. Reranking invokes a model, which has to be allowed as well.
            Statement(
                ("bedrock:ListFoundationModels", "bedrock:ListInferenceProfiles", "bedrock:Rerank"), ("*",)
            ),
        )

    def _on_knowledge_bases(self, partition: str, account: str) -> tuple[Statement, ...]:
        if not self.knowledge_bases:
            return ()
        bases = self._arns(partition, account, [f"knowledge-base/{id}" for id in self.knowledge_bases])
        return (
            Statement(("bedrock:Retrieve",), bases),
            Statement(("bedrock:RetrieveAndGenerate",), ("*",)),
        )

    def _arns(self, partition: str, account: str, names: Sequence[str]) -> tuple[str, ...]:
        regions = ["*"] if self.regions is None else self.regions
        return tuple(
            f"arn:{partition}:bedrock:{region}:{account}:{name}" for name in names for region in regions
        )


def _check(name: str, values: Sequence[str] | None, pattern: str, meaning: str) -> None:
    if values is None:
        return
    require_list(f"Bedrock.{name}", values, meaning)
    for value in values:
        if not is_token(value):
            require_match(f"entries of Bedrock.{name}", value, pattern, meaning)
