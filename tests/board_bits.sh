#!/usr/bin/env bash
# Compares the program that toolchains/cross.sh TARGET built, run under qemu as each of the target's cores, with
# build/release/rill, the desk's own. Both get the same model, and every line must be the same:
#
#   - the checksum of the logits of 265 tokens with 4 sinks and a window of 60: 200 of them past the window
#   - the ids of a text, with SmolLM2's tokenizer (byte-level BPE) and with stories260K's (SentencePiece)
#   - the answer to a question, greedily
#
#   tests/board_bits.sh aarch64        Cortex-A53 (neon), A76 (neon_dotprod), and all that qemu knows (neon_i8mm)
#   tests/board_bits.sh armv7          Cortex-A15 (armv7_neon)
#
# toolchains/cross.sh TARGET --bits builds both programs first. Needs the default model (or RILL_MODEL=PATH), and for
# the second tokenizer and the longer text ../shared.

# shellcheck source=toolchains/prelude.sh
. "$(dirname "${BASH_SOURCE[0]}")/../toolchains/prelude.sh"
help_if_asked "$@"
target=${1-}
case $target in
  aarch64) emulator=qemu-aarch64 cores=(cortex-a53 cortex-a76 max) ;;
  armv7) emulator=qemu-arm cores=(cortex-a15) ;;
  *) fail 2 "tests/board_bits.sh: expected a target, aarch64 or armv7; see tests/board_bits.sh --help" ;;
esac
desk=$root/build/release/rill
board=$root/build/$target/rill
for program in "$desk" "$board"; do
  [ -x "$program" ] || fail 1 "There is no $program: run toolchains/cross.sh $target --bits, which builds it."
done
model=$("$tools/make-model.sh")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

text=$root/README.md
stories=$root/../shared/models/stories260K
if [ -e "$root/../shared/text/wikitext2-raw-test.txt" ]; then text=$root/../shared/text/wikitext2-raw-test.txt; fi
head -c 3000 "$text" >"$scratch/text"
"$desk" tokenize "$model" --file "$scratch/text" | tr -s ' ' '\n' | sed -n 1,265p >"$scratch/ids"
models=("$model")
if [ -e "$stories" ]; then
  "$desk" quantize "$stories/stories260K.bin" --tokenizer "$stories/tok512.model" -o "$scratch/stories.rill" >&2
  models+=("$scratch/stories.rill")
else
  say "There is no ../shared beside this checkout: only the tokenizer of the default model is compared."
fi

# facts PROGRAM...: a line for everything that must not differ.
facts() {
  local file
  printf 'logits %s\n' "$("$@" logits "$model" --ids "$scratch/ids" --sinks 4 --window 60 --out "$scratch/logits" --json |
    sed -n 's/.*"logits_crc32": *\([0-9]*\).*/crc32 \1/p')"
  for file in "${models[@]}"; do
    printf 'ids of %s: %s\n' "$(basename "$file")" "$("$@" tokenize "$file" --file "$scratch/text" | cksum)"
  done
  printf 'answer: %s\n' "$("$@" chat "$model" --temp 0 -n 40 -p "What is the capital of France?" 2>/dev/null)"
}

facts "$desk" | tee "$scratch/desk"
grep -q '^logits crc32 [0-9]' "$scratch/desk" || fail 1 "The desk's own build/release/rill gave no checksum: see above."
status=0
for core in "${cores[@]}"; do
  began_s=$SECONDS
  facts "$emulator" -cpu "$core" "$board" >"$scratch/board"
  kernels=$("$emulator" -cpu "$core" "$board" kernels --json | sed -n 's/.*"chosen": *"\([^"]*\)".*/\1/p')
  if diff "$scratch/desk" "$scratch/board"; then
    echo "the same on $core with $kernels ($((SECONDS - began_s)) s)"
  else
    echo "DIFFERENT on $core with $kernels: < the desk, > the board"
    status=1
  fi
done
exit $status
