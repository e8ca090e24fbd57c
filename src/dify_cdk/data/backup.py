"""Backups of what belongs together: the database, and the bucket with the keys to what is encrypted in it."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_backup as backup
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from constructs import Construct

from dify_cdk._arguments import checked
from dify_cdk._checks import is_token, require_literal, require_whole
from dify_cdk.cdk_helpers.nag import acknowledge
from dify_cdk.data.data import DifyData

_LAST_HOUR = 23
_LONGEST_DAYS = 36500  # https://docs.aws.amazon.com/aws-backup/latest/devguide/API_Lifecycle.html
_WINDOW_HOURS = 1
_LONGEST_PATH = 40  # of the 50 characters of a vault's name, beside a dash and 8 of the stack's id

_BACKUP_POLICIES = (
    "service-role/AWSBackupServiceRolePolicyForBackup",
    "AWSBackupServiceRolePolicyForS3Backup",
)
_RESTORE_POLICIES = (
    "service-role/AWSBackupServiceRolePolicyForRestores",
    "AWSBackupServiceRolePolicyForS3Restore",
)


@checked
class DifyBackup(Construct):
    """A daily backup of database and bucket at the same hour, in a vault that outlives the stack.

    Defines a vault from which nobody deletes recovery points before their time, a plan, and two roles of AWS
    Backup, one that reads and one that restores. It adds to what :class:`DifyData` does by itself: seven days
    of point-in-time recovery of the database, and deleted objects that stay readable for 90 days. The cache
    is not backed up: it holds sessions and waiting jobs.

    A database without its bucket is worth little: below ``privkeys/`` the bucket has a private key for each
    workspace, and nothing else decrypts the credentials of models, tools and data sources in the database.
    Whoever can read both backups can read those credentials.

    AWS Backup does not know secrets. With another ``SECRET_KEY`` a restored installation works, but visitors
    of published web apps begin anew, and OAuth clients of the whole installation have to be entered again. So
    the secret is retained when the stack goes, and replicated to the region of ``copy_to``. Store its value
    outside of AWS as well if losing the account is what you prepare for.

    Before the first backup, switch Aurora and S3 on in the region's settings of AWS Backup.

    Restoring, in this order:

    1. Choose recovery points of database and bucket of the same day: a workspace that is younger than the
       bucket's has no private key in it.
    2. Find the secret with ``SECRET_KEY``, or its replica in the other region. If it is lost, leave
       ``secret_key`` out.
    3. Deploy a new stack with ``DifyData(snapshot_identifier=..., secret_key=...)``: the recovery point of
       the database is a cluster snapshot, whose ARN is the identifier. All other passwords are new there,
       and the initialisation gives them to the roles of the snapshot.
    4. Restore the bucket's recovery point into the bucket of that stack, with the role ``restore_role``.
       Before that no model and no tool can be called.
    5. Restart the plugin daemon with ``aws ecs update-service --force-new-deployment``: it looks for
       installed plugins in the bucket when it starts.
    6. Move the host name to the new frontend.

    Args:
        data: What is backed up.
        keep_days: How long a recovery point is kept, 1 to 36,500 days.
        hour_utc: When a backup starts, 0 to 23; it takes up to an hour to begin.
        copy_to: Vault in another region of the same account that gets a copy. Another account cannot take
            one, because the cluster is encrypted with the key that AWS manages. Default: no copy.

    Raises:
        ValueError: If a number is out of range, or ``copy_to`` is in the stack's own region or in another
            account.

    See https://docs.aws.amazon.com/aws-backup/latest/devguide/whatisbackup.html

    Example:
        >>> DifyBackup(stack, "Backup", data=data, keep_days=90)
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        data: DifyData,
        keep_days: int = 35,
        hour_utc: int = 3,
        copy_to: backup.IBackupVault | None = None,
    ) -> None:
        super().__init__(scope, id)
        for name, value, low, high in (
            ("keep_days", keep_days, 1, _LONGEST_DAYS),
            ("hour_utc", hour_utc, 0, _LAST_HOUR),
        ):
            require_literal(f"DifyBackup.{name}", value, "the plan is made from it")
            require_whole(f"DifyBackup.{name}", value, low, high)
        if copy_to is not None:
            self._prepare_copy(data, copy_to)
        self._vault = backup.BackupVault(
            self,
            "Vault",
            backup_vault_name=self._name(),
            block_recovery_point_deletion=True,
            removal_policy=cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
        self._restore_role = self._define_role("RestoreRole", "restores", _RESTORE_POLICIES)
        self._plan = self._define_plan(keep_days, hour_utc, copy_to)
        self._plan.add_selection(
            "Data",
            resources=[
                backup.BackupResource.from_arn(arn)
                for arn in (data.database.cluster.cluster_arn, data.storage.bucket.bucket_arn)
            ],
            role=self._define_role("BackupRole", "reads", _BACKUP_POLICIES),
        )

    @property
    def vault(self) -> backup.IBackupVault:
        """Where the recovery points are."""
        return self._vault

    @property
    def plan(self) -> backup.BackupPlan:
        """The plan: add resources of yours that belong to the installation."""
        return self._plan

    @property
    def restore_role(self) -> iam.IRole:
        """What AWS Backup restores with."""
        return self._restore_role

    def _name(self) -> str:
        """A name that no other stack has, nor this one once it was deleted and the vault stayed behind."""
        guid = cdk.Fn.select(2, cdk.Fn.split("/", cdk.Stack.of(self).stack_id))
        path = cdk.Names.unique_resource_name(self, max_length=_LONGEST_PATH, separator="-")
        return f"{path}-{cdk.Fn.select(0, cdk.Fn.split('-', guid))}"

    def _define_plan(
        self, keep_days: int, hour_utc: int, copy_to: backup.IBackupVault | None
    ) -> backup.BackupPlan:
        keep = cdk.Duration.days(keep_days)
        copies = [
            backup.BackupPlanCopyActionProps(destination_backup_vault=vault, delete_after=keep)
            for vault in ([copy_to] if copy_to is not None else [])
        ]
        plan = backup.BackupPlan(self, "Plan", backup_plan_name=self._name(), backup_vault=self._vault)
        plan.add_rule(
            backup.BackupPlanRule(
                rule_name="Daily",
                schedule_expression=events.Schedule.cron(minute="0", hour=str(hour_utc)),
                start_window=cdk.Duration.hours(_WINDOW_HOURS),
                completion_window=cdk.Duration.days(1),
                delete_after=keep,
                copy_actions=copies or None,
            )
        )
        return plan

    def _define_role(self, id: str, what: str, policies: tuple[str, ...]) -> iam.Role:
        role = iam.Role(
            self,
            id,
            assumed_by=iam.ServicePrincipal("backup.amazonaws.com"),
            description=f"Dify: AWS Backup {what} database and bucket",
            managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name(name) for name in policies],
        )
        reason = "AWS keeps what AWS Backup needs for each kind of resource up to date in its own policies"
        rules = [
            f"AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{name}]" for name in policies
        ]
        acknowledge(role, dict.fromkeys(rules, reason))
        return role

    def _prepare_copy(self, data: DifyData, vault: backup.IBackupVault) -> None:
        """Let ``SECRET_KEY`` follow the data."""
        stack = cdk.Stack.of(self)
        if is_token(vault.backup_vault_arn):
            raise ValueError(
                "DifyBackup.copy_to must have a literal ARN, from BackupVault.from_backup_vault_arn: "
                "SECRET_KEY is replicated to its region"
            )
        _, _, _, region, account, *_ = vault.backup_vault_arn.split(":")
        if region == stack.region:
            raise ValueError(f"DifyBackup.copy_to must be in another region than the stack's, got {region}")
        if not is_token(stack.account) and account != stack.account:
            raise ValueError(
                f"DifyBackup.copy_to must be in the stack's account {stack.account}, got {account}: the "
                "cluster is encrypted with a key of AWS, which another account cannot use"
            )
        if not data.replicate_secret_key(region):
            cdk.Validations.of(self).add_warning(
                "DifyBackupSecretKey",
                f"the secret with SECRET_KEY is yours: replicate it to {region}, or what is restored there "
                "gets another one, with which visitors of published web apps begin anew",
            )
