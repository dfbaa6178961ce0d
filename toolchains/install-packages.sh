#!/usr/bin/env bash
# Installs the Debian packages of the named groups of toolchains/packages.txt that are missing.
#
#   toolchains/install-packages.sh               what building and testing need (build, voice and test)
#   toolchains/install-packages.sh build voice   what building and running need; voice may be left out
#   toolchains/install-packages.sh tooling       what toolchains/check.sh needs besides
#
# With nothing missing it says nothing and starts no package manager. Otherwise it must run as root or find sudo. On a
# system without dpkg it does nothing: CMake names whatever it does not find.

# shellcheck source=toolchains/prelude.sh
. "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"
help_if_asked "$@"
[ $# -gt 0 ] || set -- build voice test

packages_of() {
  local group
  for group in "$@"; do
    awk -v group="$group" '$1 == group { print $2; found = 1 } END { exit !found }' "$tools/packages.txt" ||
      fail 2 "install-packages.sh: there is no group $group in toolchains/packages.txt."
  done
}

# dpkg-query fails when it does not know a package: that package is missing, which is what is asked here.
missing_of() {
  comm -23 <(printf '%s\n' "$@" | sort -u) \
    <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p' | sort -u)
}

command -v dpkg-query >/dev/null || exit 0
names=$(packages_of "$@")
mapfile -t wanted <<<"$names"
mapfile -t missing < <(missing_of "${wanted[@]}")
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null ||
    fail 1 "These packages are missing, and only root can install them. As root, run:" \
      "apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
  as_root=(sudo)
fi

log=$root/build/packages.log
mkdir -p "$root/build"
apt_get() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 "$@" >>"$log" 2>&1
}
# A machine that has just started updates its lists itself, and that lock apt-get does not wait for.
update_lists() {
  local until=$((SECONDS + 120))
  until apt_get update; do
    grep -q 'lists/lock' "$log" && [ $SECONDS -lt $until ] || return 1
    sleep 3
    : >"$log"
  done
}
say "Installing ${missing[*]}"
: >"$log"
if ! update_lists || ! apt_get install -y --no-install-recommends "${missing[@]}"; then
  tail -n 20 "$log" >&2
  fail 1 "apt-get could not install ${missing[*]}: its last words stand above, all of them in build/packages.log;" \
    "without a network, install these packages from Debian's media."
fi
