#!/usr/bin/env bash
# Builds with the release preset, in build/release: installs what is missing, configures once, compiles what changed.
#
#   toolchains/build.sh               everything, tests included
#   toolchains/build.sh rill          the one program
#
# CMAKE_BUILD_PARALLEL_LEVEL bounds the compilers that run at a time (default: one or two more than there are cores).

# shellcheck source=toolchains/prelude.sh
. "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"
help_if_asked "$@"
build=$root/build/release


# True if nothing that goes into the program is newer than it. Only decides whether the build talks: whether there is
# something to compile is Ninja's own judgement, every time.
looks_up_to_date() {
  [ -e "$build/rill" ] &&
    [ -z "$(find "$root"/{platform,core,quant,apps,CMake*} "$tools"/*.cmake -newer "$build/rill" -print -quit)" ]
}

"$tools/install-packages.sh" build voice test
lock "$root/build/.lock"
# Once, and again when packages came: a library that was missing may be there now.
if [ ! -e "$build/build.ninja" ] || [ "$root/build/packages.log" -nt "$build/build.ninja" ]; then
  say "Configuring build/release"
  (cd "$root" && cmake --preset release --log-level=WARNING >/dev/null)
  touch "$build/build.ninja"
fi
if [ "${1-}" = rill ] && looks_up_to_date; then
  cmake --build "$build" --target rill -- --quiet | sed '/^ninja: no work to do\.$/d' >&2
else
  cmake --build "$build" ${1+--target "$@"} >&2
fi
