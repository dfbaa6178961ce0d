#!/usr/bin/env bash
# Gets the libraries of an ARM machine as Debian packages and unpacks them into build/sysroot/TARGET: those of the group
# `target` in toolchains/packages.txt, and static libraries compiled from the Debian sources of the group `source`.
#
#   toolchains/sysroot.sh aarch64     64-bit ARM (Debian's arm64)
#   toolchains/sysroot.sh armv7       32-bit ARM with hard float, NEON and VFPv4 (Debian's armhf)
#
# Takes the package archives that this machine is set up for, with a state of its own: nothing is installed, and no
# architecture is added to this machine's packages. Needs no root. Does nothing if what is there was made of the same
# list of packages by the same script.

# shellcheck source=toolchains/prelude.sh
. "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"
help_if_asked "$@"
target=${1-}
case $target in
  aarch64) architecture=arm64 toolchain=$tools/aarch64-linux-gnu.cmake ;;
  armv7) architecture=armhf toolchain=$tools/arm-linux-gnueabihf.cmake ;;
  *) fail 2 "sysroot.sh: expected a target, aarch64 or armv7; see toolchains/sysroot.sh --help" ;;
esac
sysroot=$root/build/sysroot/$target
work=$root/build/sysroot/.$target
log=$root/build/sysroot/$target.log

packages_of() { awk -v group="$1" '$1 == group { print $2 }' "$tools/packages.txt"; }
ingredients() {
  cat "$tools/sysroot.sh" "$tools/arm-target.cmake" "$toolchain"
  packages_of target
  packages_of source
}

# This machine's archives, with their sources; /etc itself is left alone.
archives() {
  local file
  mkdir -p "$work/archives"
  for file in /etc/apt/sources.list.d/*.sources; do
    [ ! -e "$file" ] || sed 's/^Types:.*/Types: deb deb-src/' "$file" >"$work/archives/${file##*/}"
  done
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ ! -e "$file" ] || sed -n 's/^deb\(-src\)\{0,1\} \(.*\)/deb \2\ndeb-src \2/p' "$file" >"$work/archives/${file##*/}"
  done
}

private_apt() {
  apt-get -q -o Dir::State="$work/state" -o Dir::State::status="$work/state/status" -o Dir::Cache="$work/cache" \
    -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$work/archives" -o APT::Sandbox::User="$(id -un)" \
    -o APT::Architecture=$architecture -o APT::Architectures::=$architecture -o APT::Get::List-Cleanup=false "$@"
}

download() {
  mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/packages"
  : >"$work/state/status"
  archives
  # One index of many may be out of step with its archive for hours: the rest is enough to go on, but must not be silent.
  private_apt update || private_apt update ||
    say "Some package indexes could not be had (build/sysroot/$target.log): what they alone name, such as a security" \
      "update, is not in the libraries of $target. Delete build/sysroot/$target later and run this again." 2>&3
  cd "$work/packages"
  # shellcheck disable=SC2046  # names of packages: one word each
  private_apt download $(packages_of target)
  # shellcheck disable=SC2046
  private_apt source --download-only $(packages_of source)
}

unpack() {
  local package description
  for package in "$work"/packages/*.deb; do dpkg-deb -x "$package" "$sysroot"; done
  for description in "$work"/packages/*.dsc; do
    description=${description##*/}
    dpkg-source --no-check -x "$work/packages/$description" "$work/source-${description%%_*}"
  done
}

# Debian patches the static library out; what else it patches stays.
make_sentencepiece() {
  local source=$work/source-sentencepiece
  patch --silent --reverse --strip=1 --directory="$source" <"$source/debian/patches/disable-static-library.patch"
  cmake -S "$source" -B "$work/sentencepiece" -G Ninja --toolchain "$toolchain" -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_CXX_FLAGS_RELEASE="-O2 -DNDEBUG -ffunction-sections -fdata-sections" \
    -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DSPM_ENABLE_SHARED=OFF -DSPM_ENABLE_TCMALLOC=OFF
  cmake --build "$work/sentencepiece" --target sentencepiece-static
  mkdir -p "$sysroot/usr/include" "$sysroot/usr/lib"
  cp "$source/src/sentencepiece_processor.h" "$sysroot/usr/include/"
  cp "$work/sentencepiece/src/libsentencepiece.a" "$sysroot/usr/lib/"
}

lock "$root/build/sysroot/.lock"
[ "$(cat "$sysroot/complete" 2>/dev/null)" != "$(ingredients)" ] || exit 0
command -v apt-get >/dev/null ||
  fail 1 "sysroot.sh: the target's libraries come as Debian packages, and this system has no apt-get: use a Debian system."
say "Getting the libraries of $target: build/sysroot/$target"
rm -rf "$sysroot" "$work"
mkdir -p "$sysroot" "$work"
trap 'rm -rf "$work"' EXIT
make_all() {
  download
  unpack
  : >"$sysroot/complete" # the toolchain file asks for it
  make_sentencepiece
}
exec 3>&2 # for what must be said at once; the rest is for the log
set +e # not as a condition: there the shell would not stop at what fails inside a function
(
  set -e
  make_all
) >"$log" 2>&1
status=$?
set -e
if [ $status -ne 0 ]; then
  rm -rf "$sysroot"
  tail -n 20 "$log" >&2
  fail 1 "The libraries of $target could not be made: the last words stand above, all of them in" \
    "build/sysroot/$target.log. A network and Debian's archives are needed."
fi
ingredients >"$sysroot/complete"
