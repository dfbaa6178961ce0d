#!/usr/bin/env bash
# Everything that a maintainer runs before a change lands, from the cheapest check to the dearest; stops at the first
# failure. Installs what is missing.
#
#   toolchains/check.sh                    all of it
#   toolchains/check.sh format asan        only these, in this order
#
#   format     clang-format would change nothing
#   scripts    ShellCheck has nothing to say
#   release    gcc, warnings are errors, every test
#   clang      clang, the same
#   asan       gcc with AddressSanitizer and UndefinedBehaviorSanitizer; tests of the real model are left out (slow)
#   hostile    of asan the part that meets strangers' files, as .ci/run has no time for all
#   tsan       gcc with ThreadSanitizer; the same
#   tidy       clang-tidy, with the commands of the clang build

# shellcheck source=toolchains/prelude.sh
. "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"
help_if_asked "$@"
cd "$root"
export CTEST_PARALLEL_LEVEL=${CTEST_PARALLEL_LEVEL:-$(nproc)}

configure() { cmake --preset "$1" --log-level=WARNING >/dev/null; }

# build_and_test PRESET [COMMAND...]: COMMAND, if any, starts ctest.
build_and_test() {
  local preset=$1
  shift
  configure "$preset"
  cmake --build --preset "$preset"
  "$@" ctest --preset "$preset"
}

check_format() {
  find platform core quant apps tests \( -name '*.cc' -o -name '*.h' \) -print0 |
    xargs -0 clang-format --dry-run --Werror
}
check_scripts() { shellcheck --external-sources .ci/run toolchains/*.sh tests/*.sh; }
check_release() { build_and_test release; }
check_clang() { build_and_test clang; }
check_asan() { RILL_TEST_MODEL='' RILL_TEST_GGUF='' build_and_test asan; }
check_hostile() {
  configure asan
  cmake --build --preset asan --target hostile
  # That every policy restores the same bits takes a minute and meets no stranger.
  RILL_TEST_MODEL='' RILL_TEST_GGUF='' ctest --preset asan -L hostile -E ^Models/SessionState
}
# ThreadSanitizer of gcc 12 refuses the address layout of kernels that randomise 32 bits of it; setarch turns that off.
check_tsan() { RILL_TEST_MODEL='' RILL_TEST_GGUF='' build_and_test tsan setarch --addr-no-randomize; }
check_tidy() {
  configure clang
  run-clang-tidy -quiet -p build/clang
}

[ $# -gt 0 ] || set -- format scripts release clang asan tsan tidy
groups=(build voice test)
for name in "$@"; do
  case $name in
    release | asan | hostile | tsan) ;;
    format | scripts | clang | tidy) groups=(build voice test tooling) ;;
    *) fail 2 "check.sh: there is no check $name; see toolchains/check.sh --help" ;;
  esac
done
"$tools/install-packages.sh" "${groups[@]}"
for name in "$@"; do
  say "== $name"
  "check_$name"
done
say "== all passed: $*"
