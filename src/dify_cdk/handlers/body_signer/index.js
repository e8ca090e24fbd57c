// Origin-request function (Lambda@Edge) before a function URL that only CloudFront may call.
//
// CloudFront signs each request to the URL, but not its body: it takes the body's SHA-256 from
// x-amz-content-sha256, which browsers do not send. The signature also replaces Authorization, so a client's
// own travels in another header. Needs the body (IncludeBody) and read-only access to it: a body handed back
// is limited, one left alone reaches the origin whole.
//
// A CommonJS module: Lambda's Node 22 and 24 run it from an asset, and inline too, where CloudFormation
// writes index.js and takes no ES module. Functions at the edge have no environment variables. Nothing is
// logged, for requests carry credentials and personal data. What CloudFront keeps to itself is left alone.
// https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/edge-function-restrictions-all.html

"use strict";

const { createHash } = require("node:crypto");

const HASH = "x-amz-content-sha256";
// Where the Lambda Web Adapter finds it again (AWS_LWA_AUTHORIZATION_SOURCE).
const MOVED_AUTHORIZATION = "x-dify-authorization";
const SHA256 = /^[0-9a-f]{64}$/;

const TOO_LARGE = {
  status: "413",
  statusDescription: "Payload Too Large",
  headers: {
    "content-type": [{ key: "Content-Type", value: "application/json" }],
    "cache-control": [{ key: "Cache-Control", value: "no-store" }],
  },
  body: JSON.stringify({
    code: "payload_too_large",
    message: "The request is larger than the 1 MB that this address takes.",
    status: 413,
  }),
};

const moveAuthorization = (headers) => {
  const { authorization, ...others } = headers;
  delete others[MOVED_AUTHORIZATION]; // only this function writes it
  if (!authorization) {
    return others;
  }
  const moved = authorization.map(({ value }) => ({ key: MOVED_AUTHORIZATION, value }));
  return { ...others, [MOVED_AUTHORIZATION]: moved };
};

// CloudFront shows at most 1 MB of a body, and Lambda refuses the hash of a part.
const isHashed = (headers) => headers[HASH]?.length === 1 && SHA256.test(headers[HASH][0].value);

const hashed = (headers, body) => {
  const value = createHash("sha256").update(body?.data ?? "", "base64").digest("hex");
  return { ...headers, [HASH]: [{ key: HASH, value }] };
};

exports.handler = async (event) => {
  const { request } = event.Records[0].cf;
  const headers = moveAuthorization(request.headers);
  if (!request.body?.inputTruncated) {
    return { ...request, headers: hashed(headers, request.body) };
  }
  return isHashed(headers) ? { ...request, headers } : TOO_LARGE;
};
