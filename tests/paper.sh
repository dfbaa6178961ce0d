#!/usr/bin/env bash
# Makes the figures and tables of the StreamingLLM paper (arXiv 2309.17453) with Rill, from nothing, on one small model
# and five long books: build/paper/index.html, one page with every figure, table and the command behind it.
#
#   tests/paper.sh            three quarters of an hour on two cores
#   tests/paper.sh --quick    a few minutes, into build/paper-quick: the same page from short runs
#
# Resumable: a step whose JSON is there is skipped; delete build/paper/NAME.json to do a step again, or the folder to do
# all. RILL_PAPER_LONG_TOKENS=N sets the long run's tokens. Needs ../shared/text/books, and for the longest run
# ../shared/models/stories260K. The model is toolchains/run.sh's, or RILL_MODEL=PATH.

# shellcheck source=toolchains/prelude.sh
. "$(dirname "${BASH_SOURCE[0]}")/../toolchains/prelude.sh"
help_if_asked "$@"

# What each part costs. Recomputation runs the whole window for every token, hence its own, small counts: it scores
# `window + recompute_tokens` tokens, the last of which it had to recompute.
tokens=12000             # of one book, for the comparisons; past the model's trained length of 8192
recompute_tokens=600     # at 256 slots
recompute_tokens_1024=150
past_tokens=20000        # the stream past the trained length
long_tokens=${RILL_PAPER_LONG_TOKENS:-1000000}  # over all books, the same share of each
stories_tokens=4000000   # the same of a model that is fast because it is tiny
sink_sizes=(512 2048)
cache_sizes=(256 512 1024 2048 4096)
eval_lines=${RILL_PAPER_EVAL_LINES:-200}  # of StreamEval; more say more about a model that can do it
eval_lines_recompute=100
eval_distances=20,1,2,5,10,40,80
bench_tokens=16
out=build/paper

case ${1-} in
  '') ;;
  --quick)
    tokens=1500 recompute_tokens=60 recompute_tokens_1024=10 past_tokens=2500 long_tokens=4000 stories_tokens=40000
    sink_sizes=(256 512) cache_sizes=(256 512 1024) eval_lines=60 eval_lines_recompute=30 eval_distances=20,1,5
    bench_tokens=3 out=build/paper-quick
    ;;
  *) fail 2 "tests/paper.sh: $1 is no option of it; expected --quick or nothing" ;;
esac

cd "$root"
books=../shared/text/books
book=$books/war-and-peace.md
[ -e "$book" ] || fail 4 "There is no $book: the figures are made of the books in ../shared beside this checkout."
"$tools/build.sh" rill
rill=build/release/rill
model=$("$tools/make-model.sh")
model=${model#"$root"/}
mkdir -p "$out"

# step NAME COMMAND...: runs a command that prints JSON, into NAME.json; the command itself goes to NAME.command. A step
# that was cut off leaves only NAME.json.partial and is done again.
step() {
  local name=$1 began_s=$SECONDS
  shift
  [ ! -e "$out/$name.json" ] || return 0
  say "$name"
  printf '%q ' "$@" --json >"$out/$name.command"
  "$@" --json >"$out/$name.json.partial"
  mv "$out/$name.json.partial" "$out/$name.json"
  say "  $((SECONDS - began_s)) s"
}

# perplexity NAME TOKENS OPTION...: the book's first TOKENS tokens under a policy.
perplexity() {
  local name=$1 count=$2
  shift 2
  step "$name" "$rill" perplexity "$model" --file "$book" --max-tokens "$count" --nll-out "$out/$name.nll" "$@"
}

# with LABEL=NAME...: the options that draw earlier steps into a step's picture; left in `drawn`.
with() {
  local run
  drawn=()
  for run in "$@"; do drawn+=(--plot-with "${run%=*}=$out/${run##*=}.nll"); done
}

# (a) Four methods over one book.
four_methods() {
  local size count
  perplexity dense "$tokens" --policy dense
  for size in 256 1024; do
    count=$((size + recompute_tokens))
    [ "$size" = 256 ] || count=$((size + recompute_tokens_1024))
    perplexity "window-$size" "$tokens" --policy window --window "$size"
    perplexity "stream-$size" "$tokens" --sinks 4 --window $((size - 4))
    with dense=dense "window 0+$size=window-$size" "stream 4+$((size - 4))=stream-$size"
    perplexity "methods-$size" "$count" --policy recompute --window "$size" --plot "$out/methods-$size.svg" \
      "${drawn[@]}"
  done
}

# (b) How many sinks: 0, 1, 2, 4, 8 in caches of the same size.
sinks() {
  local size n
  for size in "${sink_sizes[@]}"; do
    for n in 0 1 2 4; do perplexity "sinks-$size-$n" "$tokens" --sinks "$n" --window $((size - n)); done
    with "0+$size=sinks-$size-0" "1+$((size - 1))=sinks-$size-1" "2+$((size - 2))=sinks-$size-2" \
      "4+$((size - 4))=sinks-$size-4"
    perplexity "sinks-$size-8" "$tokens" --sinks 8 --window $((size - 8)) --plot "$out/sinks-$size.svg" "${drawn[@]}"
  done
}

# (c) Does a bigger cache help? The biggest is the last, and carries the picture.
cache_size() {
  local size runs=() plot
  for size in "${cache_sizes[@]}"; do
    plot=()
    if [ "$size" = "${cache_sizes[-1]}" ]; then
      with "${runs[@]}"
      plot=(--plot "$out/cache.svg" "${drawn[@]}")
    fi
    perplexity "cache-$size" "$tokens" --sinks 4 --window $((size - 4)) "${plot[@]}"
    runs+=("4+$((size - 4))=cache-$size")
  done
}

# (d) Past the trained length.
past_training() {
  # A model may go on for some thousand tokens before dense attention fails, hence as long a run of that, too.
  perplexity past-dense "$past_tokens" --policy dense
  with "dense=past-dense" "window 0+256=window-256"
  perplexity past "$past_tokens" --sinks 4 --window 252 --plot "$out/past.svg" "${drawn[@]}"
}

# (e) Are the first tokens special, or only first? Four newlines take their place.
newline_sinks() {
  local newline ids=$out/newline-sinks.ids text_ids=$out/text-sinks.ids
  newline=$("$rill" tokenize "$model" $'\n')
  newline=${newline##* }  # SentencePiece puts a space in front
  if [ ! -e "$ids" ]; then
    "$rill" tokenize "$model" --file "$book" >"$text_ids"
    { echo "$newline $newline $newline $newline" && cat "$text_ids"; } >"$ids.partial"
    mv "$ids.partial" "$ids"
  fi
  # Ids for all three: --file would put a model's beginning-of-text token in front, and the tokens compared would differ.
  step text-sinks "$rill" perplexity "$model" --ids "$text_ids" --max-tokens "$tokens" --sinks 4 --window 508 \
    --nll-out "$out/text-sinks.nll"
  step no-sinks "$rill" perplexity "$model" --ids "$text_ids" --max-tokens "$tokens" --policy window --window 512 \
    --nll-out "$out/no-sinks.nll"
  with "no sinks, 0+512=no-sinks" "first four tokens, 4+508=text-sinks"
  step newline-sinks "$rill" perplexity "$model" --ids "$ids" --max-tokens $((tokens + 4)) --sinks 4 --window 508 \
    --nll-out "$out/newline-sinks.nll" --plot "$out/newline-sinks.svg" --plot-label "four newlines, 4+508" \
    "${drawn[@]}"
}

# long NAME MODEL TOKENS SINKS WINDOW: one stream over all books, the same number of tokens of each, one after the other.
long() {
  local name=$1-$3 long_model=$2 count=$3 all=("$books"/*.md) each each_book
  local ids=$out/$name.ids
  each=$((count / ${#all[@]}))
  if [ ! -e "$ids" ]; then
    # Not `head`: it would end the pipe before rill has written all of it.
    for each_book in "${all[@]}"; do
      "$rill" tokenize "$long_model" --file "$each_book" | tr -s ' ' '\n' | awk -v most="$each" 'NR <= most'
    done >"$ids.partial"
    mv "$ids.partial" "$ids"
  fi
  step "$name" "$rill" perplexity "$long_model" --ids "$ids" --sinks "$4" --window "$5" --every $((count / 20)) \
    --nll-out "$out/$name.nll" --plot "$out/$name.svg"
}

# (f) A long stream, and a longer one of a model that needs less time for it.
long_runs() {
  local stories=../shared/models/stories260K
  long long "$model" "$long_tokens" 4 1020
  if [ ! -e "$stories/stories260K.bin" ]; then
    say "There is no $stories/stories260K.bin: its long run is left out."
    return
  fi
  "$rill" quantize "$stories/stories260K.bin" --tokenizer "$stories/tok512.model" --group 64 \
    -o "$out/stories260K.rill" >/dev/null
  long stories "$out/stories260K.rill" "$stories_tokens" 4 252
}

# (g) StreamEval. The cache holds about 44 lines, so that the longest distance is out of sight for all but dense. The
# first distance is the one whose accuracy is drawn along the stream.
streameval() {
  step eval-dense "$rill" streameval "$model" --lines "$eval_lines" --distance "$eval_distances" --policy dense
  step eval-window "$rill" streameval "$model" --lines "$eval_lines" --distance "$eval_distances" --policy window \
    --window 1024
  step eval-recompute "$rill" streameval "$model" --lines "$eval_lines_recompute" --distance 20 --policy recompute \
    --window 1024
  step eval-stream "$rill" streameval "$model" --lines "$eval_lines" --distance "$eval_distances" \
    --plot "$out/eval-stream.svg" --plot-with "dense=$out/eval-dense.json" \
    --plot-with "window 0+1024=$out/eval-window.json" --plot-with "recompute 1024=$out/eval-recompute.json"
}

# (h) Time and memory against the size of the cache.
bench() {
  local sizes
  sizes=$(IFS=, && echo "${cache_sizes[*]}")
  step bench "$rill" bench "$model" --policies --windows "$sizes" --tokens "$bench_tokens" --plot "$out/bench.svg"
}

step model "$rill" inspect "$model"
four_methods
sinks
cache_size
past_training
newline_sinks
long_runs
streameval
bench
python3 tests/paper_page.py "$out"
say "Done: $out/index.html"
