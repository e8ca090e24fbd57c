// Prints the variables of Dify's web that contain the public URL, one "NAME=value" per line.
//
// DIFY_CDK_URL_PARAMETER  name of the Systems Manager parameter that holds the public URL
// DIFY_CDK_URL_TEMPLATES  JSON object {variable: text}; {url} and {host} in the text are replaced, nothing else
//
// Credentials are those that Lambda puts into the environment. Nothing but Node.js is needed.

import { createHash, createHmac } from "node:crypto";
import http from "node:http";
import https from "node:https";
import { setTimeout as sleep } from "node:timers/promises";

const TIMEOUT_MS = 3000;
const PAUSES_MS = [200, 600]; // between three tries: in the worst case the ten seconds of Lambda's init phase
const THROTTLING = new Set([
  "RequestLimitExceeded",
  "ThrottledException",
  "ThrottlingException",
  "TooManyRequestsException",
]);

/** Why the program cannot be started; the message is for the log. */
class Problem extends Error {}

/** Something that may be gone at the next try. */
class PassingProblem extends Error {}

/** A variable that could stand in a request. */
function required(environment, name) {
  const value = environment[name] ?? "";
  if (!/^[\x21-\x7e]+$/.test(value)) {
    throw new Problem(`${name} is ${value ? "malformed" : "not set"}`);
  }
  return value;
}

/** What shall be set: variable to text with {url} or {host} in it. */
function readTemplates(text) {
  let templates;
  try {
    templates = JSON.parse(text);
  } catch {
    templates = undefined;
  }
  if (typeof templates !== "object" || templates === null || Array.isArray(templates)) {
    throw new Problem("DIFY_CDK_URL_TEMPLATES is no JSON object");
  }
  if (Object.keys(templates).length === 0) {
    throw new Problem("DIFY_CDK_URL_TEMPLATES names no variable");
  }
  for (const [name, value] of Object.entries(templates)) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      throw new Problem(`DIFY_CDK_URL_TEMPLATES: ${JSON.stringify(name)} is no variable name`);
    }
    if (typeof value !== "string" || !/\{(url|host)\}/.test(value)) {
      throw new Problem(`DIFY_CDK_URL_TEMPLATES: ${name} contains neither {url} nor {host}`);
    }
    if (/[\0\r\n]/.test(value)) {
      throw new Problem(`DIFY_CDK_URL_TEMPLATES: ${name} has more than one line`);
    }
  }
  return templates;
}

/** Where Systems Manager is. Always in the partition "aws": only there is Lambda@Edge, which this needs. */
function endpointOf(environment, region) {
  for (const name of ["AWS_ENDPOINT_URL_SSM", "AWS_ENDPOINT_URL"]) {
    if (environment[name]) {
      if (!/^https?:\/\/([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]+)?\/?$/.test(environment[name])) {
        throw new Problem(`${name} is not of the form https://host:port`);
      }
      return new URL(environment[name]);
    }
  }
  return new URL(`https://ssm.${region}.amazonaws.com`);
}

const digest = (text) => createHash("sha256").update(text).digest("hex");

/** Headers of a request, signed with Signature Version 4. */
function signedHeaders(environment, region, host, payload) {
  const stamp = `${new Date().toISOString().replace(/[:-]|\.\d{3}/g, "")}`;
  const headers = {
    "content-type": "application/x-amz-json-1.1",
    host,
    "x-amz-date": stamp,
    "x-amz-target": "AmazonSSM.GetParameter",
  };
  if (environment.AWS_SESSION_TOKEN !== undefined) {
    headers["x-amz-security-token"] = required(environment, "AWS_SESSION_TOKEN");
  }
  const names = Object.keys(headers).sort();
  const signed = names.join(";");
  const lines = ["POST", "/", "", ...names.map((name) => `${name}:${headers[name]}`), "", signed];
  const scope = `${stamp.slice(0, 8)}/${region}/ssm/aws4_request`;
  const text = ["AWS4-HMAC-SHA256", stamp, scope, digest([...lines, digest(payload)].join("\n"))].join("\n");
  const key = scope
    .split("/")
    .reduce(
      (current, part) => createHmac("sha256", current).update(part).digest(),
      `AWS4${required(environment, "AWS_SECRET_ACCESS_KEY")}`,
    );
  const signature = createHmac("sha256", key).update(text).digest("hex");
  const credential = `${required(environment, "AWS_ACCESS_KEY_ID")}/${scope}`;
  const proof = `Credential=${credential}, SignedHeaders=${signed}, Signature=${signature}`;
  return { ...headers, authorization: `AWS4-HMAC-SHA256 ${proof}` };
}

/** Status and body of the answer to one request. */
function post(endpoint, headers, payload) {
  const { request } = endpoint.protocol === "https:" ? https : http;
  return new Promise((resolve, reject) => {
    const fail = (error) => reject(new PassingProblem(`${endpoint.host}: ${error.code ?? error.message}`));
    const sent = request(endpoint, { method: "POST", headers, timeout: TIMEOUT_MS, agent: false }, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("error", fail);
      answer.on("end", () => resolve({ status: answer.statusCode, body: Buffer.concat(parts).toString() }));
    });
    sent.on("timeout", () => sent.destroy(new Error("timed out")));
    sent.on("error", fail);
    sent.end(payload);
  });
}

/** The JSON object of an answer, or an empty one. */
function objectIn(body) {
  try {
    const found = JSON.parse(body);
    return typeof found === "object" && found !== null ? found : {};
  } catch {
    return {};
  }
}

/** What an answer other than 200 means. */
function refusal(status, body) {
  const error = objectIn(body);
  const code = String(error.__type ?? "").split("#").at(-1);
  const message = String(error.message ?? error.Message ?? "").replace(/\s+/g, " ").trim().slice(0, 400);
  const text = [code || `status ${status}`, message].filter(Boolean).join(" ");
  const passes = status >= 500 || status === 429 || THROTTLING.has(code);
  return passes ? new PassingProblem(text) : new Problem(text);
}

/** The parameter's value, after a few tries. */
async function readParameter(environment, name) {
  const region = required(environment, "AWS_REGION");
  const endpoint = endpointOf(environment, region);
  const payload = JSON.stringify({ Name: name });
  for (const pause of [...PAUSES_MS, undefined]) {
    try {
      const headers = signedHeaders(environment, region, endpoint.host, payload);
      const { status, body } = await post(endpoint, headers, payload);
      if (status !== 200) throw refusal(status, body);
      return objectIn(body).Parameter?.Value;
    } catch (error) {
      if (!(error instanceof PassingProblem)) throw error;
      if (pause === undefined) throw new Problem(`${error.message}, in ${PAUSES_MS.length + 1} tries`);
      await sleep(pause);
    }
  }
}

/** One line per variable. */
async function lines(environment) {
  const { DIFY_CDK_URL_PARAMETER: parameter, DIFY_CDK_URL_TEMPLATES: text } = environment;
  if (!parameter || !text) {
    throw new Problem("DIFY_CDK_URL_PARAMETER and DIFY_CDK_URL_TEMPLATES go together, only one of them is set");
  }
  if (!/^[A-Za-z0-9_./-]+$/.test(parameter)) {
    throw new Problem(`DIFY_CDK_URL_PARAMETER: ${JSON.stringify(parameter)} is no name of a parameter`);
  }
  const templates = readTemplates(text);
  const names = Object.keys(templates).join(", ");
  try {
    const url = await readParameter(environment, parameter);
    const match = /^https?:\/\/([A-Za-z0-9.-]+(:[0-9]+)?)$/.exec(typeof url === "string" ? url : "");
    if (match === null) throw new Problem("the parameter is no URL such as https://dify.example.com");
    const values = { url: match[0], host: match[1] };
    const fill = (value) => value.replace(/\{(url|host)\}/g, (_, word) => values[word]);
    return Object.entries(templates).map(([name, value]) => `${name}=${fill(value)}`);
  } catch (error) {
    if (error instanceof Problem) throw new Problem(`${names}: ${error.message} (${parameter})`);
    throw error;
  }
}

try {
  process.stdout.write(`${(await lines(process.env)).join("\n")}\n`);
} catch (error) {
  if (!(error instanceof Problem)) throw error;
  process.stderr.write(`dify-cdk: cannot start:\ndify-cdk: ${error.message}\n`);
  process.exitCode = 1;
}
