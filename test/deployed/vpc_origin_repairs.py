"""What CloudFront before a load balancer with a login meets in MiniStack and not on AWS: see ``repairs``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from deployed.repairs import Journal, Settings, handlers_of, module

RULES_PER_GROUP = 60
CLOUDFRONT_LIST_WEIGHT = 55
"""What a rule with CloudFront's list of addresses counts as.

See https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/LocationsOfEdgeServers.html
"""

_ADDRESSES = "com.amazonaws.global.cloudfront.origin-facing"
_VPC_ORIGIN = "AWS::CloudFront::VpcOrigin"
_PORTS = {"http-only": "HTTPPort", "https-only": "HTTPSPort"}
_DEFAULTS = {"HTTPPort": 80, "HTTPSPort": 443}
_PROTOCOLS = {"http-only": "HTTP", "https-only": "HTTPS"}
_COGNITO = "authenticate-cognito"
_INTERFACE = "10.0.0.9"  # of CloudFront, in the network
_READ_SECONDS = 30

Properties = Mapping[str, Any]
Fetched = tuple[int, str, list[tuple[str, str]], bytes]


def apply(settings: Settings, journal: Journal) -> None:
    """Repair everything, before the server starts."""
    rules: dict[str, Properties] = {}
    ingress_rules_are_counted(rules)
    vpc_origins_are_a_type()
    distributions_name_vpc_origins_that_exist()
    load_balancers_are_asked_through_vpc_origins(rules)
    ways_are_recorded_before_they_change(rules, journal)
    distributions_have_names_of_their_owners()
    listeners_keep_cognito()
    load_balancers_ask_cognito(settings)


# ---- the frontend


def ingress_rules_are_counted(rules: dict[str, Properties]) -> None:
    """The stub of a rule knows neither the others of its group nor how many a list of addresses counts as.

    Args:
        rules: Where to keep them, by physical id.
    """
    handlers = handlers_of("AWS::EC2::SecurityGroupIngress")
    create, update, delete = handlers["create"], handlers["update"], handlers["delete"]

    def create_counted(logical_id: str, properties: Properties, stack_name: str) -> Any:
        require_room([*_of_group(rules, properties["GroupId"]), properties])
        created = create(logical_id, properties, stack_name)
        rules[created[0]] = properties
        return created

    def update_counted(physical_id: str, old: Properties, new: Properties, *rest: str) -> Any:
        updated = update(physical_id, old, new, *rest)
        rules[physical_id] = new
        return updated

    def delete_counted(physical_id: str, properties: Properties) -> None:
        delete(physical_id, properties)
        rules.pop(physical_id, None)

    handlers.update(create=create_counted, update=update_counted, delete=delete_counted)


def _of_group(rules: Mapping[str, Properties], group: str) -> list[Properties]:
    return [rule for rule in rules.values() if rule["GroupId"] == group]


def require_room(rules: list[Properties]) -> None:
    """Refuse more rules than a security group holds.

    Raises:
        ValueError: If there are more.
    """
    weight = sum(CLOUDFRONT_LIST_WEIGHT if "SourcePrefixListId" in rule else 1 for rule in rules)
    if weight > RULES_PER_GROUP:
        raise ValueError("The maximum number of rules per security group has been reached.")


def vpc_origins_are_a_type() -> None:
    """CloudFormation does not know the type: lead it to MiniStack's own API, with what that refuses."""
    cloudfront, engine = module("services.cloudfront"), module("services.cloudformation.provisioners")

    def create(_logical_id: str, properties: Properties, _stack_name: str) -> Any:
        request = Element("CreateVpcOriginRequest")
        request.append(endpoint(properties["VpcOriginEndpointConfig"]))
        _, headers, _ = _accepted(cloudfront._create_vpc_origin(tostring(request)))
        id = headers["Location"].rsplit("/", 1)[-1]
        return id, _attributes(cloudfront, id)

    def update(id: str, old: Properties, new: Properties, *_: str) -> Any:
        # Of the endpoint alone MiniStack would accept no change: AWS's handler asks for one whatever differs.
        if old != new and cloudfront._vpc_origin_in_use(id):
            raise ValueError(cloudfront._VPC_ORIGIN_IN_USE)
        body = tostring(endpoint(new["VpcOriginEndpointConfig"]))
        _accepted(cloudfront._update_vpc_origin(id, _if_match(cloudfront, id), body))
        return id, _attributes(cloudfront, id)

    def delete(id: str, _properties: Properties) -> None:
        _accepted(cloudfront._delete_vpc_origin(id, _if_match(cloudfront, id)))

    engine._RESOURCE_HANDLERS[_VPC_ORIGIN] = {
        "create": create,
        "update": update,
        "update_with_logical_id": True,
        "delete": delete,
    }
    engine._REPLACING_PROPERTIES[_VPC_ORIGIN] = ()


def endpoint(config: Properties) -> Element:
    """CloudFormation's properties as the API has them."""
    element = Element("VpcOriginEndpointConfig")
    for name in ("Name", "Arn", "HTTPPort", "HTTPSPort", "OriginProtocolPolicy"):
        SubElement(element, name).text = str(config.get(name, _DEFAULTS.get(name)))
    protocols = SubElement(element, "OriginSslProtocols")
    SubElement(protocols, "Quantity").text = str(len(config["OriginSSLProtocols"]))
    items = SubElement(protocols, "Items")
    for protocol in config["OriginSSLProtocols"]:
        SubElement(items, "SslProtocol").text = protocol
    return element


def _accepted(answer: tuple[int, Any, Any]) -> tuple[int, Any, Any]:
    if answer[0] >= 400:
        raise ValueError(answer[2])
    return answer


def _if_match(cloudfront: Any, id: str) -> dict[str, str]:
    return {"if-match": cloudfront._vpc_origin_etag(cloudfront._vpc_origins[id]["Version"])}


def _attributes(cloudfront: Any, id: str) -> dict[str, str]:
    return {"Id": id, "Arn": cloudfront._vpc_origins[id]["Arn"]}


def distributions_name_vpc_origins_that_exist() -> None:
    """CloudFormation's distributions may name any VPC origin; the API refuses one that is not there."""
    cloudfront, engine = module("services.cloudfront"), module("services.cloudformation.provisioners")
    original = engine._cf_distribution_config

    def distribution_config(properties: Properties, reference: str) -> Any:
        element = original(properties, reference)
        problem = cloudfront._distribution_vpc_origin_error(element)
        if problem is not None:
            raise ValueError(problem[2])
        return element

    engine._cf_distribution_config = distribution_config


def load_balancers_are_asked_through_vpc_origins(rules: Mapping[str, Properties]) -> None:
    """Distributions do not look at their VPC origin, ask no listener with TLS, and no security group."""
    cloudfront = module("services.cloudfront")
    parse = cloudfront._dataplane_origin

    def parse_all(element: Any) -> dict[str, Any]:
        config = cloudfront._find(element, "VpcOriginConfig")
        id = None if config is None else cloudfront._text(config, "VpcOriginId")
        return {**parse(element), "vpc_origin": cloudfront._vpc_origins.get(id)}

    async def fetch(balancer: Properties, origin: Properties, *request: Any) -> Fetched:
        if origin["vpc_origin"] is None:
            raise cloudfront.OriginUnreachable("a load balancer inside the network")
        config = origin["vpc_origin"]["VpcOriginEndpointConfig"]
        method, uri, query, headers, body, _, client_ip, forwarded_for = request
        sent = cloudfront._origin_request_headers(origin, headers, client_ip, forwarded_for)
        sent = {name.lower(): value for name, value in sent.items()}
        problem = _obstacle(balancer, config, sent["host"], rules)
        if problem:
            raise cloudfront.OriginUnreachable(problem)
        return await _ask(cloudfront, balancer, _port(config), (method, uri, query, sent, body))

    cloudfront._dataplane_origin, cloudfront._fetch_from_alb_origin = parse_all, fetch


def _port(config: Properties) -> int:
    return int(config[_PORTS[config["OriginProtocolPolicy"]]])


def _listeners(balancer: Properties, config: Properties) -> list[Properties]:
    """The listener on the port that a VPC origin leads to, if there is one."""
    return [
        listener
        for listener in module("services.alb")._listeners.values()
        if (listener["LoadBalancerArn"], listener["Port"]) == (balancer["LoadBalancerArn"], _port(config))
    ]


def _obstacle(balancer: Properties, config: Properties, host: str, rules: Mapping[str, Properties]) -> str:
    """What keeps CloudFront from a load balancer, nothing if it gets through."""
    if config["Arn"] != balancer["LoadBalancerArn"]:
        return "the VPC origin leads to another load balancer"
    found, port = _listeners(balancer, config), _port(config)
    if [listener["Protocol"] for listener in found] != [_PROTOCOLS[config["OriginProtocolPolicy"]]]:
        return f"no listener of this protocol on port {port}"
    (listener,) = found
    if listener["Protocol"] == "HTTPS" and not {host, balancer["DNSName"]} & _names(listener):
        return f"a certificate that is not for {host}"
    addresses = module("services.ec2")._aws_pl_id_from_name(_ADDRESSES)
    groups = balancer["SecurityGroups"]
    if not any(admits(rule, addresses, port) for group in groups for rule in _of_group(rules, group)):
        return f"no security group lets CloudFront through to port {port}"
    return ""


def _names(listener: Properties) -> set[str]:
    certificates = module("services.acm")._certificates
    records = [certificates[arn] for arn in listener["Certificates"]]
    return {name for record in records for name in (record["DomainName"], *record["SubjectAlternativeNames"])}


def admits(rule: Properties, addresses: str, port: int) -> bool:
    """Whether a rule lets a list of addresses in on a port."""
    is_theirs = rule.get("SourcePrefixListId") == addresses
    return is_theirs and int(rule["FromPort"]) <= port <= int(rule["ToPort"])


async def _ask(cloudfront: Any, balancer: Properties, port: int, request: tuple[Any, ...]) -> Fetched:
    alb, responses = module("services.alb"), module("core.responses")
    method, uri, query, headers, body = request
    parsed = cloudfront.parse_qs(query, keep_blank_values=True)
    status, answered, content = await alb.dispatch_request(
        balancer, method, uri, headers, body, parsed, port, client_ip=_INTERFACE, raw_query_string=query
    )
    if isinstance(content, responses.StreamingResponse):
        content = await cloudfront._collect_streaming_body(content, _READ_SECONDS)
    pairs = [
        (name, value)
        for name, values in answered.items()
        for value in (values if isinstance(values, list) else [values])
    ]
    return status, "", pairs, content


def ways_are_recorded_before_they_change(rules: Mapping[str, Properties], journal: Journal) -> None:
    """Not a defect: a distribution changes at once here, and nobody can ask it right before.

    CloudFront takes minutes. Until then it goes the old way, with all that the update has changed before.
    """
    cloudfront, alb = module("services.cloudfront"), module("services.alb")
    handlers = handlers_of("AWS::CloudFront::Distribution")
    original = handlers["update"]

    def update(id: str, *rest: Any) -> Any:
        distribution = cloudfront._distributions[id]
        names = [*cloudfront._get_distribution_aliases(distribution), distribution["DomainName"]]
        for origin in cloudfront.parse_distribution_dataplane_config(distribution)["origins"].values():
            if origin["vpc_origin"] is not None:
                config = origin["vpc_origin"]["VpcOriginEndpointConfig"]
                balancer = alb._lbs[config["Arn"]]
                problem = _obstacle(balancer, config, names[0], rules)
                journal.write("way", obstacle=problem, actions=_actions(balancer, config))
        return original(id, *rest)

    handlers["update"] = update


def _actions(balancer: Properties, config: Properties) -> list[str]:
    """What the listener that a VPC origin leads to does with a page."""
    return [
        action["Type"] for listener in _listeners(balancer, config) for action in listener["DefaultActions"]
    ]


def distributions_have_names_of_their_owners() -> None:
    """A distribution answers to CloudFront's own name only, and not to its alternate ones."""
    app, cloudfront = module("app"), module("services.cloudfront")
    original = app._parse_cloudfront_dataplane_host

    def label_of(host: str) -> str | None:
        for distribution in cloudfront._distributions.values():
            if host in cloudfront._get_distribution_aliases(distribution):
                return str(distribution["DomainName"].split(".", 1)[0])
        found: str | None = original(host)
        return found

    app._parse_cloudfront_dataplane_host = label_of


# ---- the login


def listeners_keep_cognito() -> None:
    """Of a login's action only its type is kept; and it may stand on a listener without TLS."""
    engine, alb = module("services.cloudformation.provisioners"), module("services.alb")
    original = engine._elbv2_listener_actions

    def listener_actions(properties: Properties, balancer: str, prop: str = "DefaultActions") -> Any:
        actions: list[dict[str, Any]] = original(properties, balancer, prop)
        listener = properties if balancer else alb._listeners[properties["ListenerArn"]]
        for action, asked in zip(actions, properties[prop], strict=True):
            if action["Type"] == _COGNITO:
                if listener["Protocol"] != "HTTPS":
                    raise ValueError("Actions of type 'authenticate-cognito' need an HTTPS listener")
                action["AuthenticateCognitoConfig"] = asked["AuthenticateCognitoConfig"]
        return actions

    engine._elbv2_listener_actions = listener_actions


def load_balancers_ask_cognito(settings: Settings) -> None:
    """A login with Amazon Cognito is not there, one with OpenID Connect is: Cognito's pools speak that."""
    alb = module("services.alb")
    original: Callable[..., Any] = alb._execute_actions

    async def execute(actions: list[Properties], *request: Any, **named: Any) -> Any:
        return await original([_as_oidc(action, settings.region) for action in actions], *request, **named)

    alb._execute_actions = execute


def _as_oidc(action: Properties, region: str) -> Properties:
    if action["Type"] != _COGNITO:
        return action
    config = action["AuthenticateCognitoConfig"]
    pool = module("services.cognito")._user_pools[config["UserPoolArn"].rsplit("/", 1)[-1]]
    if pool["Domain"] != config["UserPoolDomain"]:
        raise ValueError(f"the user pool has no domain {config['UserPoolDomain']}")
    here = f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}"
    pages = f"https://{pool['Domain']}.auth.{region}.amazoncognito.com"
    oidc = {
        "Issuer": f"https://cognito-idp.{region}.amazonaws.com/{pool['Id']}",
        "AuthorizationEndpoint": f"{pages}/oauth2/authorize",
        "TokenEndpoint": f"{here}/oauth2/token",
        "UserInfoEndpoint": f"{here}/oauth2/userInfo",
        "ClientId": config["UserPoolClientId"],
        "ClientSecret": pool["_clients"][config["UserPoolClientId"]]["ClientSecret"],
        "Scope": config.get("Scope", "openid"),
        "SessionTimeout": int(config["SessionTimeout"]),
        "OnUnauthenticatedRequest": config["OnUnauthenticatedRequest"],
    }
    return {"Type": "authenticate-oidc", "Order": action["Order"], "AuthenticateOidcConfig": oidc}
