"""Backups: database and bucket together, in a vault that stays, and the key follows a copy."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_backup as backup
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk.assertions import Template as Synthesized

from dify_cdk import DifyBackup, DifyData, DifyNetwork, Purpose, VaultLock
from iam import text
from support import REGION, Template

ACCOUNT = "123456789012"
OTHER_REGION = "us-west-2"
KEY_ARN = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:dify-key-AbCdEf"


def vault_in(stack: cdk.Stack, region: str = OTHER_REGION, account: str = ACCOUNT) -> backup.IBackupVault:
    arn = f"arn:aws:backup:{region}:{account}:backup-vault:copies"
    return backup.BackupVault.from_backup_vault_arn(stack, "Copies", arn)


def data_in(stack: cdk.Stack, **arguments: Any) -> DifyData:
    return DifyData(stack, "Data", vpc=DifyNetwork(stack, "Network").vpc, **arguments)


def finish(stack: cdk.Stack) -> Template:
    return Template(Synthesized.from_stack(stack).to_json())


def rule(template: Template) -> dict[str, Any]:
    (plan,) = template.properties("AWS::Backup::BackupPlan").values()
    (found,) = plan["BackupPlan"]["BackupPlanRule"]
    return dict(found)


def test_database_and_bucket_are_backed_up_together(stack: cdk.Stack) -> None:
    DifyBackup(stack, "Backup", data=data_in(stack))
    template = finish(stack)
    (selection,) = template.properties("AWS::Backup::BackupSelection").values()
    (bucket,) = [id for id in template.of_type("AWS::S3::Bucket") if id.startswith("DataStorage")]
    (cluster,) = template.of_type("AWS::RDS::DBCluster")
    resources = [text(arn) for arn in selection["BackupSelection"]["Resources"]]
    assert len(resources) == 2
    assert any(arn.endswith(f":cluster:<{cluster}>") for arn in resources)
    assert f"<{bucket}.Arn>" in resources


def test_it_runs_daily_and_keeps_for_the_time_given(stack: cdk.Stack) -> None:
    DifyBackup(stack, "Backup", data=data_in(stack), keep_days=90, hour_utc=17)
    found = rule(finish(stack))
    assert found["ScheduleExpression"] == "cron(0 17 * * ? *)"
    assert found["Lifecycle"] == {"DeleteAfterDays": 90}
    assert found["StartWindowMinutes"] == 60
    # The database's own recovery stays as it is: continuous backups would take its retention over.
    assert "EnableContinuousBackup" not in found
    assert "CopyActions" not in found


def test_the_vault_outlives_the_stack_and_its_policy_refuses_deletions(stack: cdk.Stack) -> None:
    DifyBackup(stack, "Backup", data=data_in(stack))
    (vault,) = finish(stack).of_type("AWS::Backup::BackupVault").values()
    assert (vault["DeletionPolicy"], vault["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    (statement,) = vault["Properties"]["AccessPolicy"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert "backup:DeleteRecoveryPoint" in statement["Action"]


@pytest.mark.parametrize(
    ("lock", "expected"),
    [
        (None, None),
        (VaultLock(min_days=14), {"MinRetentionDays": 14}),
        (VaultLock(min_days=35, grace_days=3), {"MinRetentionDays": 35, "ChangeableForDays": 3}),
    ],
    ids=["none", "governance", "compliance"],
)
def test_a_lock_is_what_holds_against_those_who_may_change_the_policy(
    stack: cdk.Stack, lock: VaultLock | None, expected: dict[str, int] | None
) -> None:
    DifyBackup(stack, "Backup", data=data_in(stack), lock=lock)
    (vault,) = finish(stack).properties("AWS::Backup::BackupVault").values()
    assert vault.get("LockConfiguration") == expected
    assert vault["AccessPolicy"]["Statement"][0]["Effect"] == "Deny"


def test_fails_when_the_lock_lets_no_backup_in(stack: cdk.Stack) -> None:
    with pytest.raises(
        ValueError, match=r"^DifyBackup\.keep_days 7 must be at least 14, the min_days of its"
    ):
        DifyBackup(stack, "Backup", data=data_in(stack), keep_days=7, lock=VaultLock(min_days=14))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_days": 0}, r"^VaultLock\.min_days must be between 1 and 36500"),
        ({"min_days": 7, "grace_days": 2}, r"^VaultLock\.grace_days must be between 3 and"),
    ],
)
def test_fails_when_aws_would_refuse_the_lock(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VaultLock(**arguments)


def test_a_stack_that_comes_again_does_not_meet_its_old_vault(stack: cdk.Stack) -> None:
    data = data_in(stack)
    DifyBackup(stack, "Backup", data=data)
    DifyBackup(stack, "A" * 60, data=data)
    template = finish(stack)
    names = [one["BackupVaultName"] for one in template.properties("AWS::Backup::BackupVault").values()]
    plans = template.properties("AWS::Backup::BackupPlan").values()
    assert [plan["BackupPlan"]["BackupPlanName"] for plan in plans] == names
    paths = []
    for name in names:
        (_, (path, guid)) = name["Fn::Join"]
        assert "AWS::StackId" in str(guid)  # the only thing that is new when the stack is
        assert len(path) + len("1a2b3c4d") <= 50
        paths.append(path)
    assert len(set(paths)) == 2


def test_who_reads_cannot_restore(stack: cdk.Stack) -> None:
    construct = DifyBackup(stack, "Backup", data=data_in(stack))
    template = finish(stack)
    (selection,) = template.properties("AWS::Backup::BackupSelection").values()
    reader = selection["BackupSelection"]["IamRoleArn"]["Fn::GetAtt"][0]
    policies = {
        id: [text(arn).partition("policy/")[2] for arn in role["ManagedPolicyArns"]]
        for id, role in template.properties("AWS::IAM::Role").items()
        if id.startswith("Backup")
    }
    assert sorted(policies[reader]) == [
        "AWSBackupServiceRolePolicyForS3Backup",
        "service-role/AWSBackupServiceRolePolicyForBackup",
    ]
    (restorer,) = policies.keys() - {reader}
    assert all("Restore" in name for name in policies[restorer])
    assert stack.resolve(construct.restore_role.role_arn) == {"Fn::GetAtt": [restorer, "Arn"]}


def test_a_copy_takes_the_key_with_it(stack: cdk.Stack) -> None:
    data = data_in(stack)
    DifyBackup(stack, "Backup", data=data, copy_to=vault_in(stack), keep_days=40)
    template = finish(stack)
    (copy,) = rule(template)["CopyActions"]
    assert copy["DestinationBackupVaultArn"].startswith(f"arn:aws:backup:{OTHER_REGION}:")
    assert copy["Lifecycle"] == {"DeleteAfterDays": 40}
    replicated = {
        id: p["ReplicaRegions"]
        for id, p in template.properties("AWS::SecretsManager::Secret").items()
        if "ReplicaRegions" in p
    }
    assert list(replicated.values()) == [[{"Region": OTHER_REGION}]]
    assert stack.resolve(data.secret(Purpose.SECRET_KEY).secret_arn) == {"Ref": next(iter(replicated))}


def test_two_plans_with_copies_in_one_region_replicate_the_key_once(stack: cdk.Stack) -> None:
    data, vault = data_in(stack), vault_in(stack)
    DifyBackup(stack, "Daily", data=data, copy_to=vault)
    DifyBackup(stack, "Longer", data=data, copy_to=vault, keep_days=365)
    secrets = finish(stack).properties("AWS::SecretsManager::Secret").values()
    replicas = [secret["ReplicaRegions"] for secret in secrets if "ReplicaRegions" in secret]
    assert replicas == [[{"Region": OTHER_REGION}]]


def test_a_key_of_yours_is_yours_to_replicate(stack: cdk.Stack) -> None:
    key = secretsmanager.Secret.from_secret_complete_arn(stack, "Key", KEY_ARN)
    construct = DifyBackup(stack, "Backup", data=data_in(stack, secret_key=key), copy_to=vault_in(stack))
    warnings = [str(entry.data) for entry in construct.node.metadata if entry.type == "aws:cdk:warning"]
    assert any(f"replicate it to {OTHER_REGION}" in warning for warning in warnings)
    assert "ReplicaRegions" not in str(finish(stack).properties("AWS::SecretsManager::Secret"))


def test_what_the_restore_order_says_can_be_deployed(stack: cdk.Stack) -> None:
    snapshot = f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster-snapshot:awsbackup:job-1"
    key = secretsmanager.Secret.from_secret_complete_arn(stack, "Key", KEY_ARN)
    data_in(stack, snapshot_identifier=snapshot, secret_key=key)
    template = finish(stack)
    (cluster,) = template.properties("AWS::RDS::DBCluster").values()
    assert cluster["SnapshotIdentifier"] == snapshot
    assert not [id for id in template.of_type("AWS::SecretsManager::Secret") if "SecretKey" in id]
    (init,) = template.properties("Custom::DifyDatabaseInit").values()
    assert len(init["Roles"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keep_days": 0}, r"^DifyBackup\.keep_days must be between 1 and 36500, got 0$"),
        ({"keep_days": 36501}, r"^DifyBackup\.keep_days must be between 1 and 36500, got 36501$"),
        ({"hour_utc": 24}, r"^DifyBackup\.hour_utc must be between 0 and 23, got 24$"),
        ({"hour_utc": -1}, r"^DifyBackup\.hour_utc must be between 0 and 23, got -1$"),
        ({"hour_utc": 2.5}, r"^DifyBackup\.hour_utc must be a whole number, got 2\.5$"),
        ({"keep_days": cdk.Token.as_number("x")}, r"^DifyBackup\.keep_days must be literal"),
    ],
)
def test_fails_when_a_number_is_out_of_range(
    stack: cdk.Stack, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        DifyBackup(stack, "Backup", data=data_in(stack), **arguments)


def test_fails_when_the_copy_stays_in_the_region(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match=r"^DifyBackup\.copy_to must be in another region than the stack's"):
        DifyBackup(stack, "Backup", data=data_in(stack), copy_to=vault_in(stack, REGION))


def test_fails_when_the_copy_goes_to_another_account(app: cdk.App) -> None:
    stack = cdk.Stack(app, "Dify", env=cdk.Environment(region=REGION, account=ACCOUNT))
    data = DifyData(stack, "Data", vpc=DifyNetwork(stack, "Network", zones=["us-east-1a", "us-east-1b"]).vpc)
    with pytest.raises(ValueError, match=rf"must be in the stack's account {ACCOUNT}, got 210987654321"):
        DifyBackup(stack, "Backup", data=data, copy_to=vault_in(stack, account="210987654321"))


def test_fails_when_the_vault_is_known_only_at_deployment(app: cdk.App, stack: cdk.Stack) -> None:
    other = cdk.Stack(app, "Other", env=cdk.Environment(region=OTHER_REGION))
    vault = backup.BackupVault(other, "Vault")
    with pytest.raises(ValueError, match=r"^DifyBackup\.copy_to must have a literal ARN"):
        DifyBackup(stack, "Backup", data=data_in(stack), copy_to=vault)
