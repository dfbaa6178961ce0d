#!/usr/bin/env bash
# Runs the kernels' tests on an emulated PC whose processor has AVX-512 with VNNI. Where it is missing, the tests of the
# set avx512_vnni are skipped, and whoever changes that set learns nothing from them.
#
#   toolchains/emulate-x86.sh                         the tests of avx512_vnni in kernels_test and float_kernels_test
#   toolchains/emulate-x86.sh PROGRAM [ARGUMENT...]   this program instead
#
# Ends with 0 only if every program did, no test of avx512_vnni was skipped and, without PROGRAM, at least one passed.
# PROGRAM finds its libraries there and no other file of this machine.
#
# The PC is Debian's Bochs, which interprets one instruction after the other; qemu emulates no AVX-512. It boots
# Debian's kernel from a CD that holds the programs too, and sends what they print through its serial port. The tests of
# avx_vnni stay skipped: no processor that Bochs 2.7 knows has AVX-VNNI. The milliseconds that tests print are of the
# PC's own clock and no measure of speed. Files are in build/emulated-x86.

# shellcheck source=toolchains/prelude.sh
. "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"
help_if_asked "$@"
work=$root/build/emulated-x86
limit_s=1800

[ "$(uname -m)" = x86_64 ] || fail 2 "emulate-x86.sh: this machine is no x86-64, so its programs cannot run on that PC."
if [ $# -gt 0 ]; then
  programs=("$1")
  arguments=("${@:2}")
  least=0
else
  "$tools/build.sh" kernels_test float_kernels_test
  programs=("$root"/build/release/tests/{kernels_test,float_kernels_test})
  arguments=("--gtest_filter=*avx512_vnni*:*avx_vnni*")
  least=1
fi
for program in "${programs[@]}"; do
  if [ ! -f "$program" ] || [ ! -x "$program" ]; then fail 2 "emulate-x86.sh: $program is no program."; fi
done

# The PC's kernel and shell. Not installed: a kernel's package would change how this machine boots.
get_guest() {
  local packages kernel deb
  [ ! -e "$work/guest/vmlinuz" ] || return 0
  say "Getting the emulated PC's kernel and shell: build/emulated-x86/guest"
  rm -rf "$work/packages" "$work/guest"
  mkdir -p "$work/packages" "$work/guest"
  packages=$(awk '$1 == "guest" { print $2 }' "$tools/packages.txt")
  # shellcheck disable=SC2086  # names of packages: one word each
  {
    # The kernel itself is in the package that the named one depends on, whose name has a version in it.
    kernel=$(LC_ALL=C apt-cache depends --important $packages | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p')
    (cd "$work/packages" && apt-get -qq -o APT::Sandbox::User="$(id -un)" download $packages $kernel) >&2
  } || fail 1 "The packages of the emulated PC could not be had. As root, run apt-get update; then run this again."
  for deb in "$work"/packages/*.deb; do dpkg-deb -x "$deb" "$work/packages"; done
  mv "$work/packages/bin/busybox" "$work/guest/"
  mv "$work"/packages/boot/vmlinuz-* "$work/guest/vmlinuz"
  rm -rf "$work/packages"
}

# What the PC's first and only process does. Programs are numbered, since two may have the same name.
write_init() {
  local number
  cat <<'END'
#!/busybox sh
/busybox mount -t devtmpfs dev /dev
/busybox mount -t proc proc /proc
/busybox mount -t sysfs sys /sys
exec </dev/null >/dev/ttyS0 2>&1
export TERM=dumb
cd /tmp
echo "== begin"
END
  for number in "${!programs[@]}"; do
    printf '%q ' "/programs/$number" "${arguments[@]}"
    printf '\necho "== %s ended with $?"\n' "$(basename "${programs[number]}")"
  done
  printf '%s\n' 'echo "== end"' '/busybox sleep 1 # until the serial port has sent it' '/busybox poweroff -f'
}

make_cd() {
  local tree=$work/tree cd=$work/cd number
  rm -rf "$tree" "$cd"
  mkdir -p "$tree"/{dev,proc,sys,tmp,programs} "$cd"
  cp "$work/guest/busybox" "$tree/"
  for number in "${!programs[@]}"; do
    cp -L "${programs[number]}" "$tree/programs/$number"
    # A static program has none, and ldd fails.
    { ldd "${programs[number]}" || true; } | sed -n 's/^[^/]*\(\/[^ ]*\) (0x.*/\1/p' |
      xargs --no-run-if-empty cp --dereference --parents --target-directory="$tree"
  done
  write_init >"$tree/init"
  chmod +x "$tree/init"
  (cd "$tree" && find . | "$work/guest/busybox" cpio -o -H newc 2>/dev/null) >"$cd/initrd"
  cp "$work/guest/vmlinuz" /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$cd/"
  # The kernel must overlook four abilities of the processor. Bochs 2.7 states sizes and places of the registers' state
  # under xsavec, xsaves and pku that contradict each other, for which the kernel gives up AVX. And with fsrm the kernel
  # hangs before its first process: it drops erms, for want of a register that says whether fast strings are on, but
  # keeps fsrm.
  cat >"$cd/isolinux.cfg" <<'END'
DEFAULT linux
LABEL linux
  KERNEL vmlinuz
  APPEND initrd=initrd console=ttyS0,115200 quiet clearcpuid=xsavec,xsaves,pku,fsrm panic=-1 reboot=triple
END
  genisoimage -quiet -o "$work/cd.iso" -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table \
    "$cd"
  rm -rf "$tree" "$cd"
}

# A kernel that gives up resets the PC by a triple fault, as it was told to: Bochs ends there, where a PC starts anew.
write_bochsrc() {
  cat <<END
cpu: model=corei7_icelake_u, ips=100000000, reset_on_triple_fault=0
memory: guest=256, host=256
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
ata0-master: type=cdrom, path="$work/cd.iso", status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev="$work/serial.txt"
display_library: term
sound: driver=dummy
log: "$work/bochs.log"
panic: action=fatal
END
}

"$tools/install-packages.sh" emulate-x86
lock "$work/.lock"
get_guest
make_cd
write_bochsrc >"$work/bochsrc"
echo c >"$work/continue" # Debian's Bochs is built with its debugger, which waits for a command
: >"$work/serial.txt"
say "Starting the emulated PC"
SECONDS=0
# It ends with 1 even after the PC was switched off: what counts is what came through the serial port. Only KILL ends a
# Bochs that hangs, and only in the foreground does Ctrl-C reach it.
TERM=linux timeout --foreground --signal=KILL "$limit_s" bochs -f "$work/bochsrc" -rc "$work/continue" \
  </dev/null >"$work/console.txt" 2>&1 || true
output=$work/output.txt
tr -d '\r' <"$work/serial.txt" | sed -n '/^== begin$/,/^== end$/p' >"$output"
cat "$output"
[ "$(tail -n 1 "$output")" = "== end" ] ||
  fail 1 "The emulated PC did not come to its end in $limit_s s: see serial.txt and bochs.log in build/emulated-x86."
! grep -q '^== .* ended with [^0]' "$output" || fail 1 "A program failed on the emulated PC: its output stands above."
! grep -q '^\[  SKIPPED \].*/avx512_vnni' "$output" || fail 1 "The emulated processor could not run avx512_vnni."
passed=$(grep -c '^\[       OK \].*/avx512_vnni' "$output" || true)
[ "$passed" -ge "$least" ] || fail 1 "No test of avx512_vnni ran on the emulated PC."
say "All passed, $passed tests of avx512_vnni among them: $SECONDS s on the emulated PC"
