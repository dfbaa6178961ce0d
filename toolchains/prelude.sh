# shellcheck shell=bash
# What every script of Rill begins with; sourced, never run. Sets `root`, the project's folder, and leaves the caller's
# working directory alone, so that relative paths given to a script mean what its user meant.

set -euo pipefail
unset CDPATH  # or `cd` prints where it went
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034  # for the scripts that source this
tools=$root/toolchains

# Messages go to standard error: standard output belongs to rill, or to a script's answer.
say() { printf '%s\n' "$*" >&2; }

# fail CODE SENTENCE: codes as rill's own (1 failed, 2 wrong usage, 4 bad input file).
fail() {
  local code=$1
  shift
  say "$*"
  exit "$code"
}

# Prints the comment at the head of the script that was started, if that was asked for.
help_if_asked() {
  case ${1-} in
    -h | --help)
      sed '1d;/^$/Q;s/^# \{0,1\}//' "$0"
      exit 0
      ;;
  esac
}

# lock FILE: waits until no other script holds FILE, and holds it to the end. Two shells that start Rill at the same
# time would otherwise build and download into each other's files.
lock() {
  mkdir -p "$(dirname "$1")"
  exec 9>"$1"
  flock --nonblock 9 && return
  say "Another script is at work in this folder; waiting for it to end."
  flock 9
}
