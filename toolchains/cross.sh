#!/usr/bin/env bash
# Builds Rill for an ARM board on this machine, from nothing: installs the cross compiler, gets the target's libraries,
# compiles, packs. It ends in build/TARGET/rill, which needs nothing of the board but a Linux kernel, and beside it a
# Debian package and an archive with the same program.
#
#   toolchains/cross.sh aarch64            64-bit ARM: Raspberry Pi Zero 2 W, 3, 4, 5 with a 64-bit system
#   toolchains/cross.sh armv7              32-bit ARM with NEON and VFPv4: the same with a 32-bit system, Cortex-A7 and A15
#   toolchains/cross.sh TARGET --test      then every test under qemu; what follows goes to ctest
#   toolchains/cross.sh TARGET --check     instead only the kernels and the recorded logits, under qemu; the same
#   toolchains/cross.sh TARGET --bits      instead compares rill under qemu with the desk's: tests/board_bits.sh
#
# CMAKE_BUILD_PARALLEL_LEVEL bounds the compilers that run at a time.

# shellcheck source=toolchains/prelude.sh
. "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"
help_if_asked "$@"
target=${1-}
mode=${2-pack}
case $target in
  aarch64 | armv7) ;;
  *) fail 2 "cross.sh: expected a target, aarch64 or armv7; see toolchains/cross.sh --help" ;;
esac
case $mode in
  pack) groups=(build cross "cross-$target") ;;
  --test | --check | --bits) groups=(build cross "cross-$target" emulate) ;;
  *) fail 2 "cross.sh: there is no option $mode; see toolchains/cross.sh --help" ;;
esac
shift $(($# < 2 ? $# : 2))
build=$root/build/$target
export CTEST_PARALLEL_LEVEL=${CTEST_PARALLEL_LEVEL:-$(nproc)}

pack() {
  cmake --build "$build" --target rill -- --quiet >&2
  (cd "$build" && cpack --config CPackConfig.cmake >"$build/cpack.log") ||
    fail 1 "The packages could not be made: see build/$target/cpack.log."
  file --brief "$build/rill"
  stat --format="%s bytes  %n" "$build"/{rill,rill_*.deb,rill-*.tar.gz}
}

# Every test program, each test under the emulator. What depends on how long something takes is not asked of it.
test_all() {
  cmake --build "$build" -- --quiet >&2
  cd "$root"
  ctest --preset "$target" "$@"
}

check() {
  cmake --build "$build" --target kernels_test float_kernels_test kernel_limits_test same_bits_test -- --quiet >&2
  cd "$root"
  ctest --preset "$target" -R '^(Table/EveryKernelSet|KernelTable|Goldens/SameBits|SameBits)' "$@"
}

bits() {
  cmake --build "$build" --target rill -- --quiet >&2
  "$tools/build.sh" rill
  exec "$root/tests/board_bits.sh" "$target"
}

"$tools/install-packages.sh" "${groups[@]}"
"$tools/sysroot.sh" "$target"
lock "$root/build/.lock-$target"
if [ ! -e "$build/build.ninja" ]; then
  say "Configuring build/$target"
  (cd "$root" && cmake --preset "$target" --log-level=WARNING >/dev/null)
fi
case $mode in
  pack) pack ;;
  --test) test_all "$@" ;;
  --check) check "$@" ;;
  --bits) bits ;;
esac
