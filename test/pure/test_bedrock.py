"""Bedrock: from a choice of models to statements."""

from __future__ import annotations

import pytest

from dify_cdk.options.bedrock import Bedrock
from iam import ACCOUNT, allows

INVOKE = ("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream")
NOVA = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0"
CLAUDE = "arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-sonnet-4-20250514-v1:0"
CLAUDE_PROFILE = (
    f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/us.anthropic.claude-sonnet-4-20250514-v1:0"
)
OWN_PROFILE = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/0j6r4a8fn6ze"
BASE = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:knowledge-base/ABCDEFGHIJ"
GUARDRAIL = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:guardrail/abcdefghij12"
ROLE = "arn:aws:iam::210987654321:role/models"


def allowed(models: Bedrock, action: str, resource: str) -> bool:
    statements = [
        {"Effect": "Allow", "Action": list(one.actions), "Resource": list(one.resources)}
        for one in models.statements(partition="aws", account=ACCOUNT)
    ]
    return allows(statements, action, resource)


@pytest.mark.parametrize("action", INVOKE)
@pytest.mark.parametrize("resource", [NOVA, CLAUDE, CLAUDE_PROFILE, OWN_PROFILE])
def test_all_models_may_be_called_by_default(action: str, resource: str) -> None:
    assert allowed(Bedrock(), action, resource)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("bedrock:GetInferenceProfile", CLAUDE_PROFILE),
        ("bedrock:GetInferenceProfile", OWN_PROFILE),
        ("bedrock:ListFoundationModels", "*"),
        ("bedrock:ListInferenceProfiles", "*"),
        ("bedrock:Rerank", "*"),
    ],
)
def test_what_the_plugins_call_is_allowed_by_default(action: str, resource: str) -> None:
    assert allowed(Bedrock(), action, resource)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("bedrock:ApplyGuardrail", GUARDRAIL),
        ("sts:AssumeRole", ROLE),
        ("bedrock:Retrieve", BASE),
        ("bedrock:RetrieveAndGenerate", "*"),
        ("bedrock:CreateFoundationModelAgreement", "*"),
        ("bedrock:DeleteGuardrail", GUARDRAIL),
        ("bedrock:PutModelInvocationLoggingConfiguration", "*"),
        ("bedrock:CreateModelInvocationJob", NOVA),
        ("bedrock:InvokeModel", f"arn:aws:bedrock:us-east-1:{ACCOUNT}:provisioned-model/x"),
        ("bedrock:InvokeModel", "arn:aws:bedrock:us-east-1:210987654321:inference-profile/us.x"),
        ("bedrock:Retrieve", "arn:aws:bedrock:us-east-1:210987654321:knowledge-base/ABCDEFGHIJ"),
        ("s3:GetObject", "*"),
    ],
)
def test_nothing_else_is_allowed_by_default(action: str, resource: str) -> None:
    assert not allowed(Bedrock(), action, resource)


def test_with_everything_asked_for_there_is_no_other_action() -> None:
    models = Bedrock(knowledge_bases=["ABCDEFGHIJ"], guardrails=["abcdefghij12"], assume_roles=[ROLE])
    statements = models.statements(partition="aws", account=ACCOUNT)
    assert {action for one in statements for action in one.actions} == {
        *INVOKE,
        *("bedrock:GetInferenceProfile", "bedrock:ListFoundationModels", "bedrock:ListInferenceProfiles"),
        *("bedrock:Rerank", "bedrock:Retrieve", "bedrock:RetrieveAndGenerate"),
        *("bedrock:ApplyGuardrail", "sts:AssumeRole"),
    }


@pytest.mark.parametrize("action", INVOKE)
def test_a_list_of_models_allows_them_and_their_profiles_only(action: str) -> None:
    models = Bedrock(models=["anthropic.claude-*"])
    assert allowed(models, action, CLAUDE)
    assert allowed(models, action, CLAUDE_PROFILE)
    assert not allowed(models, action, NOVA)
    assert not allowed(models, action, NOVA.replace("::foundation", f":{ACCOUNT}:foundation"))
    nova_profile = CLAUDE_PROFILE.partition("us.anthropic")[0] + "us.amazon.nova-pro-v1:0"
    assert not allowed(models, action, nova_profile)
    # The id of an application profile says nothing: its model is checked beside it.
    assert allowed(models, action, OWN_PROFILE)


@pytest.mark.parametrize("action", INVOKE)
def test_a_list_of_regions_allows_no_other(action: str) -> None:
    models = Bedrock(regions=["us-east-1", "us-east-2"])
    assert allowed(models, action, NOVA)
    assert allowed(models, action, NOVA.replace("us-east-1", "us-east-2"))
    assert not allowed(models, action, CLAUDE)  # in us-west-2
    assert not allowed(models, action, NOVA.replace("us-east-1", ""))  # of a global profile


def test_global_profiles_need_no_region_of_the_model() -> None:
    assert allowed(Bedrock(models=["amazon.nova-*"]), INVOKE[0], NOVA.replace("us-east-1", ""))


def test_no_models_leave_knowledge_bases() -> None:
    models = Bedrock(models=[], knowledge_bases=["ABCDEFGHIJ"])
    assert not allowed(models, INVOKE[0], NOVA)
    assert not allowed(models, "bedrock:ListFoundationModels", "*")
    assert allowed(models, "bedrock:Retrieve", BASE)


def test_knowledge_bases_are_those_that_are_named() -> None:
    named = Bedrock(knowledge_bases=["ABCDEFGHIJ"])
    assert allowed(named, "bedrock:Retrieve", BASE)
    assert allowed(named, "bedrock:RetrieveAndGenerate", "*")
    assert not allowed(named, "bedrock:Retrieve", BASE.replace("ABCDEFGHIJ", "KLMNOPQRST"))


def test_guardrails_and_roles_of_other_accounts_are_allowed_by_name() -> None:
    models = Bedrock(guardrails=["abcdefghij12"], assume_roles=[ROLE])
    assert allowed(models, "bedrock:ApplyGuardrail", GUARDRAIL)
    assert not allowed(models, "bedrock:ApplyGuardrail", f"{GUARDRAIL}3")
    assert allowed(models, "sts:AssumeRole", ROLE)
    assert not allowed(models, "sts:AssumeRole", f"{ROLE}2")


def test_nothing_chosen_is_no_statement() -> None:
    assert Bedrock(models=[]).statements(partition="aws", account=ACCOUNT) == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": [CLAUDE]}, r"^entries of Bedrock\.models must be model ids such as anthropic\.claude-\*"),
        ({"models": "amazon.nova-*"}, r"^Bedrock\.models must be a list of model ids .*; write \["),
        (
            {"models": ["us.amazon.nova-pro-v1:0"]},
            r"got the inference profile 'us\.amazon\.nova-pro-v1:0': write 'amazon\.nova-pro-v1:0'",
        ),
        ({"models": [""]}, r"^entries of Bedrock\.models must be model ids"),
        ({"regions": ["Virginia"]}, r"^entries of Bedrock\.regions must be regions such as us-east-1"),
        ({"regions": ["us-east-1a"]}, r"^entries of Bedrock\.regions must be regions such as us-east-1"),
        ({"regions": []}, r"^Bedrock\.regions must not be empty: None allows all regions$"),
        ({"knowledge_bases": [BASE]}, r"^entries of Bedrock\.knowledge_bases must be ids of letters"),
        ({"knowledge_bases": ["*"]}, r"^entries of Bedrock\.knowledge_bases must be ids of letters"),
        ({"guardrails": ["my guardrail"]}, r"^entries of Bedrock\.guardrails must be ids of letters"),
        ({"assume_roles": ["models"]}, r"^entries of Bedrock\.assume_roles must be ARNs of roles"),
        (
            {"assume_roles": ["arn:aws:iam::210987654321:user/models"]},
            r"^entries of Bedrock\.assume_roles must be ARNs of roles",
        ),
    ],
)
def test_fails_when_an_entry_cannot_be_meant(arguments: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Bedrock(**arguments)
