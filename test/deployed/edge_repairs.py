"""What CloudFront before Lambda functions meets in MiniStack and not on AWS: see ``repairs``."""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from deployed import image_function
from deployed.docker import IMAGE_FILE, folder_of
from deployed.repairs import Journal, Settings, module, read_json
from dockerfiles import read_folder

SHOWN_BODY_BYTES = 1024 * 1024
"""How much of a body an origin-request function is shown."""

_ORIGIN_REQUEST = "origin-request"
_FUNCTION = ".lambda-url."
_HTTP_API = ".execute-api."
_NEEDED = ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction")
"""What a caller of a function URL needs.

See https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
"""

Headers = Mapping[str, Any]
Fetched = tuple[int, str, dict[str, Any], bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What goes to an origin.

    Attributes:
        origin: The origin, as MiniStack keeps it.
        method: HTTP method.
        uri: Path.
        query: Query string.
        headers: Names in lower case.
        body: The body.
        client_ip: The viewer's address.
        distribution: ARN of the distribution.
    """

    origin: Mapping[str, Any]
    method: str
    uri: str
    query: str
    headers: Headers
    body: bytes
    client_ip: str
    distribution: str


def apply(settings: Settings, journal: Journal) -> None:
    """Repair everything, before the server starts."""
    missing_images_are_said_to_be_missing()
    image_functions_run_their_entry_script(Path(settings.images))
    requests_pass_functions_at_the_edge_and_reach_our_origins(journal)


# ---- image functions


def missing_images_are_said_to_be_missing() -> None:
    """DescribeImages answers with nothing for an image that is not there, so that none is ever pushed."""
    ecr, responses = module("services.ecr"), module("core.responses")
    original = ecr._describe_images

    def describe_images(request: Mapping[str, Any]) -> Any:
        answer = original(request)
        if answer[0] == 200 and request.get("imageIds") and not read_json(answer[2])["imageDetails"]:
            return responses.error_response_json("ImageNotFoundException", "there is no such image", 400)
        return answer

    ecr._describe_images = describe_images


def image_functions_run_their_entry_script(images: Path) -> None:
    """An image function cannot run without Docker: run the entry script of the folder that was pushed."""
    lambda_svc = module("services.lambda_svc")
    run = lambda_svc._execute_function_warm

    def execute(function: Mapping[str, Any], event: Any, request_id: str) -> Any:
        config = {**function["config"], "Runtime": "python3.13", "Handler": "image_function.handler"}
        code = _packed(folder_of(images, config["ImageUri"]))
        return run({**function, "config": config, "code_zip": code}, event, request_id)

    lambda_svc._execute_function_docker = execute


@functools.cache
def _packed(folder: Path) -> bytes:
    told = json.loads((folder / IMAGE_FILE).read_text(encoding="utf-8"))
    image = read_folder(folder).image
    start = {
        "name": told["arguments"]["IMAGE"],
        "command": image.last("ENTRYPOINT").words,
        "environment": image.environment,
    }
    handler = Path(image_function.__file__)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(image_function.START_FILE, json.dumps(start))
        for file in (handler, *folder.iterdir()):
            archive.write(file, file.name)
    return packed.getvalue()


# ---- from CloudFront to an origin


def requests_pass_functions_at_the_edge_and_reach_our_origins(journal: Journal) -> None:
    """Lambda@Edge is ignored, no request to a function URL is signed, and HTTP APIs count as AWS's own."""
    cloudfront = module("services.cloudfront")
    original, matched = cloudfront._fetch_from_origin, _matched_functions(cloudfront)

    async def fetch(origin: Any, *asked: Any) -> Any:
        method, uri, query, headers, body, *rest, distribution = asked
        request = Request(
            origin=origin,
            method=method,
            uri=uri,
            query=query,
            headers=headers,
            body=body,
            client_ip=rest[1],
            distribution=distribution,
        )
        association = matched.get().get(_ORIGIN_REQUEST)
        if association:
            answer = await _ask_edge_function(association, request, journal)
            if "status" in answer:
                return _response(answer)
            request = _with_headers(request, answer["headers"])
        host = cloudfront._normalize_origin_host(origin["domain_name"])
        if _FUNCTION in host:
            return await _fetch_signed(cloudfront, host, request)
        if _HTTP_API in host:
            return await _fetch_from_http_api(cloudfront, host, request)
        return await original(origin, method, uri, query, request.headers, body, *rest, distribution)

    cloudfront._fetch_from_origin = fetch


def _matched_functions(cloudfront: Any) -> ContextVar[Mapping[str, Mapping[str, str]]]:
    """The Lambda@Edge functions of the behavior that the current request has matched, by event."""
    current: ContextVar[Mapping[str, Mapping[str, str]]] = ContextVar("edge functions")
    parse, match = cloudfront._dataplane_behavior, cloudfront._match_behavior

    def parse_all(element: Any, path_pattern: str | None = None) -> dict[str, Any]:
        items = cloudfront._find(element, "LambdaFunctionAssociations")
        items = None if items is None else cloudfront._find(items, "Items")
        found = {}
        for item in () if items is None else items:
            texts = {child.tag.rsplit("}", 1)[-1]: child.text for child in item}
            found[texts["EventType"]] = texts
        return {**parse(element, path_pattern), "edge_functions": found}

    def match_and_remember(*arguments: Any) -> Any:
        behavior = match(*arguments)
        current.set(behavior["edge_functions"])
        return behavior

    cloudfront._dataplane_behavior, cloudfront._match_behavior = parse_all, match_and_remember
    return current


async def _ask_edge_function(
    association: Mapping[str, str], request: Request, journal: Journal
) -> dict[str, Any]:
    """A published version in us-east-1: what it makes of the request, or its own response."""
    lambda_svc, concurrency = module("services.lambda_svc"), module("core.concurrency")
    *_, region, account, _, name, version = association["LambdaFunctionARN"].split(":")
    function, config, _ = lambda_svc._get_func_record_for_ref_in_scope(
        f"{name}:{version}", account_id=account, region=region
    )
    cf = {
        "config": {"eventType": _ORIGIN_REQUEST, "distributionId": request.distribution.rsplit("/", 1)[-1]},
        "request": shown(request, with_body=association.get("IncludeBody") == "true"),
    }
    result = await concurrency.run_reentrant(
        lambda_svc._execute_function_with_config_scope,
        lambda_svc._execution_record_for_config(function, config),
        {"Records": [{"cf": cf}]},
    )
    answer: dict[str, Any] = result["body"]
    journal.write("edge_function", function=association["LambdaFunctionARN"], uri=request.uri, answer=answer)
    return answer


def shown(request: Request, *, with_body: bool) -> dict[str, Any]:
    """A request as a function at the edge sees it.

    See https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-event-structure.html
    """
    found = {
        "clientIp": request.client_ip,
        "headers": {name: [{"key": name, "value": value}] for name, value in request.headers.items()},
        "method": request.method,
        "querystring": request.query,
        "uri": request.uri,
    }
    if with_body:
        found["body"] = {
            "action": "read-only",
            "data": base64.b64encode(request.body[:SHOWN_BODY_BYTES]).decode(),
            "encoding": "base64",
            "inputTruncated": len(request.body) > SHOWN_BODY_BYTES,
        }
    return found


def _response(answer: Mapping[str, Any]) -> Fetched:
    headers = {name: rows[0]["value"] for name, rows in answer["headers"].items()}
    return int(answer["status"]), answer["statusDescription"], headers, answer["body"].encode()


def _with_headers(request: Request, headers: Mapping[str, list[Mapping[str, str]]]) -> Request:
    found = {name: ", ".join(row["value"] for row in rows) for name, rows in headers.items()}
    return replace(request, headers=found)


def _sent(cloudfront: Any, request: Request) -> dict[str, str]:
    """The headers that arrive at an origin, the origin's own among them."""
    forwarded_for = request.headers.get("x-forwarded-for", "")
    sent = cloudfront._origin_request_headers(
        request.origin, dict(request.headers), request.client_ip, forwarded_for
    )
    return {name.lower(): value for name, value in sent.items()}


async def _fetch_signed(cloudfront: Any, host: str, request: Request) -> Fetched:
    """Ask a function URL as CloudFront does with an origin access control: signed, in the client's name."""
    lambda_svc = module("services.lambda_svc")
    url_id, sent = host.split(".", 1)[0], _sent(cloudfront, request)
    resolved = lambda_svc.resolve_function_url(url_id)
    account, region, name, _, _ = resolved
    function, _, _ = lambda_svc._get_func_record_for_ref_in_scope(name, account_id=account, region=region)
    control = cloudfront._oacs.get(request.origin["oac_id"], {})
    is_signed = (control.get("OriginAccessControlOriginType"), control.get("SigningBehavior")) == (
        "lambda",
        "always",
    )
    # CloudFront does not hash a body, and Lambda compares: the client, or a function before, has to.
    is_hashed = not request.body or sent.get("x-amz-content-sha256") == _digest(request.body)
    if not (
        is_signed and is_hashed and admits(function["policy"], request.distribution) and sent["host"] == host
    ):
        return 403, "Forbidden", {"content-type": "application/json"}, b'{"Message": null}'
    sent["authorization"] = "AWS4-HMAC-SHA256 in the client's own place"
    query = parse_qs(request.query, keep_blank_values=True)
    status, headers, data = await lambda_svc.handle_function_url_request(
        url_id,
        request.method,
        request.uri,
        sent,
        request.body,
        query,
        resolved=resolved,
        source_ip=request.client_ip,
    )
    return status, "", {key.lower(): value for key, value in headers.items()}, data


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def admits(policy: Mapping[str, Any], distribution: str) -> bool:
    """Whether a function's policy lets CloudFront call its URL for a distribution."""
    allowed = {
        row["Action"]
        for row in policy["Statement"]
        if row["Principal"] == {"Service": "cloudfront.amazonaws.com"}
        and row["Condition"]["ArnLike"] == {"AWS:SourceArn": distribution}
    }
    return allowed >= set(_NEEDED)


async def _fetch_from_http_api(cloudfront: Any, host: str, request: Request) -> Fetched:
    """Go straight to the emulator's own HTTP API."""
    query = parse_qs(request.query, keep_blank_values=True)
    status, headers, data = await module("app")._handle_execute_api_request(
        host,
        request.uri,
        request.method,
        _sent(cloudfront, request),
        request.body,
        query,
        raw_path=request.uri,
        raw_query_string=request.query,
    )
    return status, "", {key.lower(): value for key, value in headers.items()}, data
