"""Who may open a connection to whom: a security group for every component, and the rules between them."""

from __future__ import annotations

from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from dify_cdk.cdk_helpers.prefix_lists import managed_prefix_list, s3_list
from dify_cdk.data.data import DifyData
from dify_cdk.dify.components import Component, EgressRule
from dify_cdk.dify.environment import CACHE_PORT, DATABASE_PORT
from dify_cdk.network import Tiers, network_of

_HTTPS = 443


class SecurityGroups(Construct):
    """A security group for each component, and every permitted connection between them and to data.

    The guarantee comes from the callee: only callers named in its ingress reach it. Sandbox and proxy are
    named only by the proxy, so that code and HTTP nodes of a workflow cannot reach database, cache, api or
    plugin daemon. All rules live here, whatever frontend is in use: switching frontends changes none.
    Each rule is a resource of its own on the caller's side, so that data may live in another stack.

    In a network with internet egress, api, worker, plugin daemon and proxy may connect anywhere, and the
    sandbox to the proxy and to port 443, on which Fargate also fetches image, secrets and logs through the
    task's own interface. In a closed network everyone is limited to the VPC and to S3.

    Args:
        data: Database, cache and network.
        tiers: Where the components run.
    """

    def __init__(self, scope: Construct, id: str, *, data: DifyData, tiers: Tiers) -> None:
        super().__init__(scope, id)
        self._vpc = data.vpc
        self._closed = tiers.closed
        self._s3 = managed_prefix_list(self, "S3PrefixList", s3_list(self)) if tiers.closed else None
        self._groups = {component: self._define_group(component) for component in Component}
        self._rules: dict[Component, list[Construct]] = {component: [] for component in Component}
        for callee in Component:
            for caller in callee.spec.called_by:
                self._allow(caller, callee.construct_id, self._groups[callee], callee.port)
        for caller in (one for one in Component if one.spec.uses_data):
            self._allow(caller, "Database", data.database.connections.security_groups[0], DATABASE_PORT)
            self._allow(caller, "Cache", data.cache.connections.security_groups[0], CACHE_PORT)
        network = network_of(self._vpc)
        if network is not None and network.model_endpoints is not None:
            self._allow(Component.PLUGIN_DAEMON, "ModelEndpoints", network.model_endpoints, _HTTPS)
        for caller in (one for one in Component if one.spec.egress is EgressRule.PROXY):
            self._let_out_by_proxy(caller)

    def group(self, component: Component) -> ec2.SecurityGroup:
        """The security group that every task of a component wears."""
        return self._groups[component]

    def rules_of(self, component: Component) -> list[Construct]:
        """The rules that let a component call others, for tasks that need them before they start."""
        return self._rules[component]

    def _define_group(self, component: Component) -> ec2.SecurityGroup:
        anywhere = component.spec.egress is EgressRule.ANYWHERE and not self._closed
        group = ec2.SecurityGroup(
            self,
            component.construct_id,
            vpc=self._vpc,
            description=f"Dify {component}",
            allow_all_outbound=anywhere,
        )
        if anywhere:
            return group
        inside = ec2.Peer.ipv4(self._vpc.vpc_cidr_block)
        if component.spec.egress is not EgressRule.PROXY:
            group.add_egress_rule(inside, ec2.Port.all_tcp(), "Other roles, data and endpoints")
        elif self._closed:
            group.add_egress_rule(inside, ec2.Port.tcp(_HTTPS), "Endpoints: image, secrets, logs")
        if self._s3 is None:
            group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(_HTTPS), "AWS: image, secrets, logs")
        else:
            group.add_egress_rule(self._s3, ec2.Port.tcp(_HTTPS), "S3: image layers, files")
        return group

    def _allow(self, caller: Component, callee_name: str, callee: ec2.ISecurityGroup, port: int) -> None:
        """Let a component in. An L1 rule: the L2 writes it into the callee's stack, or warns about egress."""
        rule = ec2.CfnSecurityGroupIngress(
            self,
            f"{caller.construct_id}To{callee_name}",
            group_id=callee.security_group_id,
            source_security_group_id=self._groups[caller].security_group_id,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            description=f"Dify {caller}",
        )
        self._rules[caller].append(rule)

    def _let_out_by_proxy(self, caller: Component) -> None:
        proxy = Component.SSRF_PROXY
        ec2.CfnSecurityGroupEgress(
            self,
            f"{caller.construct_id}To{proxy.construct_id}Egress",
            group_id=self._groups[caller].security_group_id,
            destination_security_group_id=self._groups[proxy].security_group_id,
            ip_protocol="tcp",
            from_port=proxy.port,
            to_port=proxy.port,
            description="Code that calls out",
        )
