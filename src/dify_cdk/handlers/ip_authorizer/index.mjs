// Lambda authorizer of an HTTP API for LLRT: decides what authorizer.py beside it decides, and says there why.
// Plain ES2020 without imports. An address or network is a list of 16-bit groups: two for IPv4, eight for IPv6.

const GROUP_BITS = 16;
const IPV4_GROUPS = 2;
const IPV6_GROUPS = 8;
const VARIABLES = [
  { name: "ALLOWED_IPV4", example: "203.0.113.0/24", length: IPV4_GROUPS },
  { name: "ALLOWED_IPV6", example: "2001:db8::/32", length: IPV6_GROUPS },
];
const OCTET = /^(0|[1-9][0-9]*)$/;
const HEXTET = /^[0-9a-fA-F]{1,4}$/;
const NETWORK = /^(.+)[/](0|[1-9][0-9]*)$/;

const parseIpv4 = (text) => {
  const octets = text.split(".");
  if (octets.length !== 4 || !octets.every((octet) => OCTET.test(octet) && Number(octet) <= 255)) {
    return null;
  }
  const [a, b, c, d] = octets.map(Number);
  return [a * 256 + b, c * 256 + d];
};

// The last 32 bits may be written as an IPv4 address.
const withoutDots = (text) => {
  if (!text.includes(".")) {
    return text;
  }
  const start = text.lastIndexOf(":") + 1;
  const groups = parseIpv4(text.slice(start));
  return groups && text.slice(0, start) + groups.map((group) => group.toString(16)).join(":");
};

const parseIpv6 = (dotted) => {
  const text = withoutDots(dotted);
  if (text === null) {
    return null;
  }
  const [head, tail, ...more] = text.split("::").map((half) => (half === "" ? [] : half.split(":")));
  const missing = IPV6_GROUPS - head.length - (tail ? tail.length : 0);
  if (more.length > 0 || (tail ? missing < 1 : missing !== 0)) {
    return null;
  }
  const groups = tail ? [...head, ...Array(missing).fill("0"), ...tail] : head;
  return groups.every((group) => HEXTET.test(group)) ? groups.map((group) => parseInt(group, 16)) : null;
};

const parseAddress = (text) => (text.includes(":") ? parseIpv6(text) : parseIpv4(text));

const unmap = (groups) =>
  groups.length === IPV6_GROUPS && groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff
    ? groups.slice(6)
    : groups;

// The bits of each group that a prefix of so many bits covers.
const maskOf = (length, prefix) =>
  Array.from({ length }, (_, index) => {
    const covered = Math.min(Math.max(prefix - index * GROUP_BITS, 0), GROUP_BITS);
    return (0xffff << (GROUP_BITS - covered)) & 0xffff;
  });

const parseNetwork = (text, length) => {
  const [, start, prefix] = NETWORK.exec(text) || [];
  const first = start ? parseAddress(start) : null;
  if (!first || first.length !== length || Number(prefix) > length * GROUP_BITS) {
    return null;
  }
  const mask = maskOf(length, Number(prefix));
  return first.every((group, index) => (group & mask[index]) === group) ? { first, mask } : null;
};

const contains = ({ first, mask }, groups) =>
  first.length === groups.length && first.every((group, index) => (groups[index] & mask[index]) === group);

export const isAllowed = (address, networks) => {
  const groups = parseAddress(address);
  return groups !== null && networks.some((network) => contains(network, unmap(groups)));
};

export const readNetworks = (environment) =>
  VARIABLES.flatMap(({ name, example, length }) => {
    const text = environment[name] || "";
    const entries = text === "" ? [] : text.split(",");
    return entries.map((entry, index) => {
      const network = parseNetwork(entry, length);
      if (network === null) {
        throw new Error(`entry ${index + 1} of ${name} is no network such as ${example}`);
      }
      return network;
    });
  });

const networksAtStart = () => {
  try {
    const networks = readNetworks(process.env);
    if (networks.length === 0) {
      console.error("nobody may enter: no network is listed");
    }
    return networks;
  } catch (error) {
    console.error(`nobody may enter: ${error.message}`);
    return [];
  }
};

const NETWORKS = networksAtStart();

export const handler = async (event) => {
  const address = event?.requestContext?.http?.sourceIp;
  return { isAuthorized: typeof address === "string" && isAllowed(address, NETWORKS) };
};
