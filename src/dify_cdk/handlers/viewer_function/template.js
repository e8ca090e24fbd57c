// The viewer-request function of every distribution. viewer_function.py writes the variables before it:
//
//   ANYONE       whether every address may enter
//   NETWORKS     a regular expression that matches the key() of every address of the networks
//   ADDRESSES    single IPv4 addresses that are known only at deployment
//   HOOKS        what the paths of webhooks start with
//   DOT_SEGMENT  a regular expression that matches paths with a segment "." or ".."
//
// and leaves out comments and indentation, for CloudFront takes 10 KB. ECMAScript 5.1 without anything newer:
// of the rest its runtime 2.0 knows only parts. An error answers 503, so that nobody enters by mistake.
// https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/functions-javascript-runtime-20.html

var DIGITS = "0123456789abcdef";
var ZEROS = "00000000000000000000000000000000";
var IPV4_MAPPED = "00000000000000000000ffff";
var OTHERS = /[^0-9a-f:.]/;
var OCTET = /^(0|[1-9][0-9]{0,2})$/;
var GROUP = /^[0-9a-f]{1,4}$/;
// What servers of Python programs let a proxy say about the path of a request.
var MOVING = ["script_name", "path_info"];

// Eight hexadecimal digits, an empty text if it is no IPv4 address.
function ipv4Digits(text) {
  var octets = text.split(".");
  var digits = "";
  for (var i = 0; i < octets.length; i++) {
    var octet = Number(octets[i]);
    if (!OCTET.test(octets[i]) || octet > 255) {
      return "";
    }
    digits += DIGITS.charAt(octet >> 4) + DIGITS.charAt(octet & 15);
  }
  return octets.length === 4 ? digits : "";
}

// The groups on one side of "::" in four digits each, null if one is malformed.
function groupDigits(text) {
  var groups = text === "" ? [] : text.split(":");
  var digits = "";
  for (var i = 0; i < groups.length; i++) {
    if (!GROUP.test(groups[i])) {
      return null;
    }
    digits += ("000" + groups[i]).slice(-4);
  }
  return digits;
}

// The last 32 bits may be written as an IPv4 address; an empty text if that is none.
function withoutDots(text) {
  var start = text.lastIndexOf(":") + 1;
  var digits = ipv4Digits(text.slice(start));
  return digits && text.slice(0, start) + digits.slice(0, 4) + ":" + digits.slice(4);
}

// 32 hexadecimal digits, an empty text if it is no IPv6 address.
function ipv6Digits(text) {
  var halves = (text.indexOf(".") < 0 ? text : withoutDots(text)).split("::");
  var head = groupDigits(halves[0]);
  var tail = groupDigits(halves[1] || "");
  if (head === null || tail === null || halves.length > 2) {
    return "";
  }
  var missing = ZEROS.length - head.length - tail.length;
  if (halves.length === 2 ? missing < 4 : missing !== 0) {
    return "";
  }
  return head + ZEROS.slice(0, missing) + tail;
}

// "4" or "6" and all digits of the address, so that a network is a prefix of its addresses; an empty text if
// it is no plain address. IPv4-mapped IPv6 is IPv4.
function key(address) {
  var text = typeof address === "string" ? address.toLowerCase() : "";
  // Perl's $ is true before a final line feed as well, and CloudFront's expressions are Perl's.
  if (OTHERS.test(text)) {
    return "";
  }
  if (text.indexOf(":") < 0) {
    var ipv4 = ipv4Digits(text);
    return ipv4 && "4" + ipv4;
  }
  var ipv6 = ipv6Digits(text);
  if (ipv6.indexOf(IPV4_MAPPED) === 0) {
    return "4" + ipv6.slice(IPV4_MAPPED.length);
  }
  return ipv6 && "6" + ipv6;
}

function isAllowed(address) {
  var found = key(address);
  function isIt(allowed) {
    return key(allowed) === found;
  }
  return found !== "" && (NETWORKS.test(found) || ADDRESSES.some(isIt));
}

// A header that came twice has a multiValue; without one in its place CloudFront keeps the second value.
function set(headers, name, value) {
  var isTwice = headers[name] && headers[name].multiValue;
  headers[name] = isTwice ? { value: value, multiValue: [{ value: value }] } : { value: value };
}

// What is left of the query string where there is no rawQueryString().
function joined(parameters) {
  var pairs = [];
  Object.keys(parameters).forEach(function (name) {
    (parameters[name].multiValue || [parameters[name]]).forEach(function (one) {
      pairs.push(name + "=" + one.value);
    });
  });
  return pairs.length ? pairs.join("&") : undefined;
}

// As Dify's own proxy writes it: the host without a port, path and query string as the client sent them.
function hookUrl(request) {
  var host = request.headers.host.value.toLowerCase().split(":")[0];
  var hasRaw = typeof request.rawQueryString === "function";
  var query = hasRaw ? request.rawQueryString() : joined(request.querystring);
  return "https://" + host + request.uri + (query === undefined ? "" : "?" + query);
}

function refusal(status, description, code, message) {
  return {
    statusCode: status,
    statusDescription: description,
    headers: {
      "content-type": { value: "application/json" },
      "cache-control": { value: "no-store" }
    },
    body: { encoding: "text", data: JSON.stringify({ code: code, message: message, status: status }) }
  };
}

function handler(event) {
  var request = event.request;
  var address = event.viewer.ip;
  if (!ANYONE && !isAllowed(address)) {
    return refusal(403, "Forbidden", "forbidden", "This site is not open to your network address.");
  }
  if (DOT_SEGMENT.test(request.uri)) {
    return refusal(400, "Bad Request", "bad_request", "Paths must not have the segments . and ..");
  }
  MOVING.forEach(function (name) {
    delete request.headers[name];
  });
  set(request.headers, "cf-connecting-ip", address);
  if (request.uri.indexOf(HOOKS) === 0) {
    set(request.headers, "dify-hook-url", hookUrl(request));
  } else {
    delete request.headers["dify-hook-url"];
  }
  return request;
}
