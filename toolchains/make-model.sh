#!/usr/bin/env bash
# Makes the .rill file of the model to use, if there is none that is up to date, and prints its path.
#
#   toolchains/make-model.sh          the default model: build/models/smollm2-135m-instruct.rill (may use the network)
#   RILL_MODEL=PATH toolchains/make-model.sh
#                                     PATH itself if it is a .rill file; a GGUF file or a Hugging Face directory is
#                                     converted into build/models/NAME.rill; no network
#
# A conversion is kept as long as its source and the quantiser are the ones that it was made with, and rill still reads
# it. Needs build/release/rill, which toolchains/build.sh makes. Exit codes: 4 no such model, else what failed last.

# shellcheck source=toolchains/prelude.sh
. "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"
help_if_asked "$@"

rill=$root/build/release/rill
models=$root/build/models

# What a conversion depends on, written beside it: any difference, not only a later time, makes it anew. A copy may carry
# an older time than the file that it replaces, and two sources may have the same name in different folders.
ingredients() {
  find -L "$(realpath "$source")" "$root/build/release/quant/librill_quant.a" -type f -printf '%p %s %T@\n' | sort
  printf '%s\n' "${options[*]}"
}

is_readable() { [ -e "$model" ] && "$rill" inspect "$model" >/dev/null 2>&1; }
is_current() { [ "$(cat "$record" 2>/dev/null)" = "$(ingredients)" ] && is_readable; }

if [ -n "${RILL_MODEL-}" ]; then
  [ -e "$RILL_MODEL" ] ||
    fail 4 "RILL_MODEL=$RILL_MODEL: there is no such file or directory; expected a GGUF file, a Hugging Face" \
      "directory or a .rill file; correct it, or unset it to use the default model"
  source=${RILL_MODEL%/}
  options=()
else
  source=$models/smollm2-135m-instruct.gguf
  # Temperature and top-p as its authors advise; short answers are what a small model does best.
  options=(--temperature 0.2 --top-p 0.9 --system "You are a helpful AI assistant. Answer in one or two short sentences.")
fi
if [[ $source == *.rill ]]; then
  echo "$source"
  exit 0
fi
name=$(basename "$(realpath --canonicalize-missing "$source")" .gguf)
model=$models/$name.rill
record=$models/$name.made-from

lock "$models/.lock"
if [ ! -e "$source" ]; then          # only the default model can be absent here
  if is_readable; then               # its source was deleted to save space: what is left is all that running needs
    echo "$model"
    exit 0
  fi
  "$tools/fetch-model.sh"
fi
if ! is_current; then
  say "Making build/models/$name.rill"
  rm -f "$record"
  "$rill" quantize "$source" -o "$model" "${options[@]}" >&2
  ingredients >"$record"
fi
echo "$model"
