# Makes a NAT instance of Amazon Linux 2023: user data of the instance, after its "#!/bin/bash".
#
# Nobody can log in, so whatever happens is said on the console: "aws ec2 get-console-output --latest" shows
# lines that start with "dify-nat:", the last one "ready" or what to do. cloud-init runs user data only at the
# first start of an instance; the script puts itself where it runs at every start, so that a reboot is enough
# to try again.
#
# DIFY_NAT_ROOT            folder that stands for / in the tests
# DIFY_NAT_TRIES           how often to ask for the package
# DIFY_NAT_PAUSE_SECONDS   between two tries
set -uo pipefail

root="${DIFY_NAT_ROOT:-}"
tries="${DIFY_NAT_TRIES:-30}"
pause_seconds="${DIFY_NAT_PAUSE_SECONDS:-10}"
longest_try_seconds=300
swap_file="$root/swapfile"
swap_mib=1024
at_every_start="$root/var/lib/cloud/scripts/per-boot/dify-nat"

say() {
  printf 'dify-nat: %s\n' "$*" | tee -a "$root/dev/console"
}

# Says what failed and what to do, and ends.
fail() {
  local instance
  instance=$(cat "$root/var/lib/cloud/data/instance-id" 2> /dev/null || echo INSTANCE_ID)
  say "failed: $1"
  say "until this works nothing in the VPC reaches the internet; $2, then try again with a reboot:" \
    "aws ec2 reboot-instances --instance-ids $instance"
  exit 1
}

keep_for_every_start() {
  [[ $0 -ef $at_every_start ]] && return
  mkdir -p "${at_every_start%/*}" && cp "$0" "$at_every_start" && chmod 755 "$at_every_start"
}

# dnf needs more than the 512 MiB of a nano and is killed without swap:
# https://github.com/amazonlinux/amazon-linux-2023/issues/404
# Written with dd, because swapon refuses a file with holes, which fallocate may leave on XFS.
# A file that an earlier start left half-written is no swap either, and is written anew.
add_swap() {
  swapon "$swap_file" 2> /dev/null && return
  (umask 077 && dd if=/dev/zero of="$swap_file" bs=1M count=$swap_mib status=none) \
    && mkswap "$swap_file" && swapon "$swap_file" && return
  rm -f "$swap_file"
  return 1
}

# The Elastic IP arrives a moment after the instance starts, so the first tries may fail.
install_iptables() {
  local output try
  rpm -q --quiet iptables-services && return
  for ((try = 1; try <= tries; try++)); do
    output=$(timeout $longest_try_seconds dnf install -y iptables-services 2>&1) && return
    say "dnf ended with exit code $?, try $try of $tries: ${output##*$'\n'}"
    ((try == tries)) || sleep "$pause_seconds"
  done
  return 1
}

let_packets_through() {
  echo net.ipv4.ip_forward=1 > "$root/etc/sysctl.d/90-nat.conf" && sysctl -p "$root/etc/sysctl.d/90-nat.conf"
}

translate_addresses() {
  local device
  device=$(ip -4 route show default | sed 's/.* dev //; s/ .*//')
  [[ -n $device ]] || return 1
  iptables -t nat -C POSTROUTING -o "$device" -j MASQUERADE 2> /dev/null \
    || iptables -t nat -A POSTROUTING -o "$device" -j MASQUERADE || return 1
  iptables -F FORWARD && iptables-save > "$root/etc/sysconfig/iptables"
}

main() {
  local image="report the lines above, the system image may have changed"
  say "starting"
  keep_for_every_start || say "cannot be kept for the next start, going on"
  add_swap || say "no swap file, going on without: dnf may be killed"
  install_iptables || fail "dnf could not install iptables-services in $tries tries" \
    "see that the instance has its Elastic IP and its subnet a route to the internet gateway"
  systemctl enable --now iptables || fail "systemctl could not start iptables" "$image"
  let_packets_through || fail "the kernel forwards no packets" "$image"
  translate_addresses || fail "iptables translates no addresses" "$image"
  say "ready"
}

main
