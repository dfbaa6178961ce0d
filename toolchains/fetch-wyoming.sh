#!/usr/bin/env bash
# Gets the Python package `wyoming` (MIT), whose client and server the tests talk with, as build/python/wyoming.whl: 45 KB,
# a pinned version, checked by SHA-256. It is not installed: the tests import it from that file. Does nothing if the file
# is there. On a machine without a network do without: the tests that need it are skipped.
#
# Exit code: 1 it could not be downloaded, or what was downloaded is not what was pinned.

# shellcheck source=toolchains/prelude.sh
. "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"
help_if_asked "$@"

version=1.10.2
sha256=08aec17ccad4d72fc3f919ab741beacf3f23a1df24c8b9a317ebc6e02d2b227c

folder=$root/build/python
lock "$folder/.fetch.lock"
[ ! -e "$folder/wyoming.whl" ] || exit 0
rm -rf "$folder/.fetch"
mkdir "$folder/.fetch"
trap 'rm -rf "$folder/.fetch"' EXIT
cd "$folder/.fetch"

say "Downloading the Python package wyoming $version from PyPI"
echo "wyoming==$version --hash=sha256:$sha256" >requirements.txt
for python in python3 /usr/bin/python3; do # a virtual environment's may come without pip
  "$python" -m pip --version >/dev/null 2>&1 && break
done
"$python" -m pip --disable-pip-version-check --no-cache-dir --retries 2 \
  download --no-deps --only-binary :all: --require-hashes --dest . -r requirements.txt >&2 2>"$folder/fetch.log" ||
  fail 1 "The package wyoming could not be downloaded (pip's words are in build/python/fetch.log): connect this machine" \
    "to the network and run this again, or do without: the tests that need it are skipped."
rm "$folder/fetch.log"
mv ./*.whl "$folder/wyoming.whl"
