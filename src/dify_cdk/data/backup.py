"""Backups of what belongs together: the database, and the bucket with the keys to what is encrypted in it."""

from __future__ import annotations

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_backup as backup
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from constructs import Construct

from dify_cdk._arguments import checked
from dify_cdk._checks import is_token, require_literal, require_whole
from dify_cdk.cdk_helpers.nag import acknowledge
from dify_cdk.cdk_helpers.names import guid_part, name_of
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


_SHORTEST_GRACE_DAYS = 3


@checked
@dataclass(frozen=True, kw_only=True, slots=True)
class VaultLock:
    """AWS Backup Vault Lock: what deletes a recovery point before its time has to remove the lock first.

    Attributes:
        min_days: Days that every recovery point stays at least, 1 to 36,500; backups that would stay for less
            fail. No more than ``keep_days`` of the backup.
        grace_days: Days from the deployment until the lock is final, 3 to 36,500: compliance mode. From then
            on nobody removes or changes it, not the root user and not AWS, and the vault cannot be deleted
            before its last recovery point has expired; ``min_days`` and ``grace_days`` must stay as they are,
            or deployments fail. Default: never, which is governance mode: whoever may call
            ``backup:DeleteBackupVaultLockConfiguration`` removes the lock.

    Raises:
        ValueError: If a number is out of range.

    See https://docs.aws.amazon.com/aws-backup/latest/devguide/vault-lock.html

    Example:
        >>> lock = VaultLock(min_days=14)
    """

    min_days: int
    grace_days: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        _require_days("VaultLock.min_days", self.min_days, 1)
        if self.grace_days is not None:
            _require_days("VaultLock.grace_days", self.grace_days, _SHORTEST_GRACE_DAYS)

    def configuration(self) -> backup.LockConfiguration:
        """What the vault is told."""
        grace = None if self.grace_days is None else cdk.Duration.days(self.grace_days)
        return backup.LockConfiguration(min_retention=cdk.Duration.days(self.min_days), changeable_for=grace)


@checked
class DifyBackup(Construct):
    """A daily backup of database and bucket at the same hour, in a vault that outlives the stack.

    Defines a vault, a plan, and two roles of AWS Backup, one that reads and one that restores. The vault's
    access policy refuses everybody who deletes a recovery point before its time. That is a guard against
    mistakes: whoever may call ``backup:PutBackupVaultAccessPolicy`` lifts it, and ``lock`` is against those.
    The backups are in the same account as what they are made of.

    It adds to what :class:`DifyData` does by itself: seven days of point-in-time recovery of the database,
    and deleted objects that stay readable for 90 days. The cache is not backed up: it holds sessions and
    waiting jobs.

    A database without its bucket is worth little: below ``privkeys/`` the bucket has a private key for each
    workspace, and nothing else decrypts the credentials of models, tools and data sources in the database.
    Whoever can read both backups can read those credentials.

    AWS Backup does not know secrets. With another ``SECRET_KEY`` a restored installation works, but visitors
    of published web apps lose their conversations, and OAuth clients of the whole installation have to be
    entered again. So the secret is retained when the stack is deleted, and replicated to the region of
    ``copy_to``. Store its value outside of AWS as well if you prepare for losing the account.

    Before the first backup, opt in to Aurora and S3 in the settings of AWS Backup in the region.

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
        keep_days: Days for which a recovery point is kept, 1 to 36,500; copies as well.
        hour_utc: Hour of the day in UTC, 0 to 23, within which the backup starts.
        copy_to: Vault in another region of the same account that gets a copy of each recovery point; from
            ``BackupVault.from_backup_vault_arn``. Another account cannot get one, because the cluster is
            encrypted with a key that AWS manages. Default: no copy.
        lock: Lock of the vault, not of ``copy_to``. Default: none, only the access policy.

    Raises:
        ValueError: If a number is out of range, ``lock`` asks for more days than ``keep_days``, or
            ``copy_to`` has no literal ARN, is in the stack's own region or in another account.

    See https://docs.aws.amazon.com/aws-backup/latest/devguide/whatisbackup.html

    Examples:
        >>> DifyBackup(stack, "Backup", data=data, keep_days=90, lock=VaultLock(min_days=14))
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
        lock: VaultLock | None = None,
    ) -> None:
        super().__init__(scope, id)
        _require_days("DifyBackup.keep_days", keep_days, 1)
        require_literal("DifyBackup.hour_utc", hour_utc, "the plan is made from it")
        require_whole("DifyBackup.hour_utc", hour_utc, 0, _LAST_HOUR)
        if lock is not None and lock.min_days > keep_days:
            raise ValueError(
                f"DifyBackup.keep_days {keep_days} must be at least {lock.min_days}, the min_days of its "
                "lock, which lets no other backup in"
            )
        if copy_to is not None:
            self._prepare_copy(data, copy_to)
        self._vault = backup.BackupVault(
            self,
            "Vault",
            backup_vault_name=self._name(),
            block_recovery_point_deletion=True,
            lock_configuration=None if lock is None else lock.configuration(),
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
        """The backup plan, to which you can add resources of yours."""
        return self._plan

    @property
    def restore_role(self) -> iam.IRole:
        """The role with which AWS Backup restores."""
        return self._restore_role

    def _name(self) -> str:
        """A name that no other stack has, nor this one once it was deleted and the vault stayed behind."""
        return f"{name_of(self, longest=_LONGEST_PATH)}-{guid_part(self, 0)}"

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


def _require_days(name: str, value: int, least: int) -> None:
    require_literal(name, value, "the plan and the vault are made from it")
    require_whole(name, value, least, _LONGEST_DAYS)
