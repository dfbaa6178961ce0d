#!/usr/bin/env bash
# Installs what is missing, builds everything and runs every test.
#
#   toolchains/test.sh                     all tests
#   toolchains/test.sh -R Tokenizer        some; all arguments go to ctest
#
# Tests of the real model use build/models/smollm2-135m-instruct.gguf and the .rill file made of it. Where that model
# cannot be had (no network), they are skipped and say so; the rest still runs. RILL_MODEL plays no part here: the
# figures that the tests expect are those of the one pinned model.

# shellcheck source=toolchains/prelude.sh
. "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"
help_if_asked "$@"

"$tools/build.sh"
if "$tools/fetch-model.sh"; then
  RILL_TEST_MODEL=$(RILL_MODEL='' "$tools/make-model.sh")
  export RILL_TEST_MODEL RILL_TEST_GGUF=${RILL_TEST_MODEL%.rill}.gguf
elif [ $? -eq 1 ]; then # not to be had; any other code is a failure
  export RILL_TEST_MODEL='' RILL_TEST_GGUF=''
  say "The tests that need the real model will be skipped."
else
  exit 1
fi
# The tests that talk with its peers look for it there, and say so when they skip.
"$tools/fetch-wyoming.sh" || say "The tests that need it will be skipped."
cd "$root"
# One more than there are cores, as some of them mostly wait.
CTEST_PARALLEL_LEVEL=${CTEST_PARALLEL_LEVEL:-$(($(nproc) + 1))} exec ctest --preset release "$@"
