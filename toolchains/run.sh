#!/usr/bin/env bash
# From a fresh clone to a conversation: installs what is missing, builds Rill, gets the model and starts the assistant.
#
#   toolchains/run.sh                      a conversation (rill chat)
#   toolchains/run.sh -p "..."             one answer; all arguments go to rill chat, see toolchains/run.sh chat --help
#   toolchains/run.sh plan --budget 512M   another of rill's commands, with the model as its first argument
#   toolchains/run.sh voice --in question.wav --out answer.wav
#                                          speech in, speech out; a question.wav that is not there is made: flite asks
#   RILL_MODEL=PATH toolchains/run.sh      with another model: a GGUF file, a Hugging Face directory or a .rill file
#
# Messages of the set-up go to standard error; standard output holds what rill prints and nothing else. What is there
# already is kept: from the second time on the conversation begins in under two seconds.

# shellcheck source=toolchains/prelude.sh
. "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"
help_if_asked "$@"

command=chat
case ${1-} in
  chat | inspect | plan | generate | tokenize | logits | perplexity | streameval | bench | soak | voice | wyoming)
    command=$1
    shift
    ;;
esac

# Standard input is the conversation's: no step of the set-up may read it.
"$tools/build.sh" rill </dev/null
model=$("$tools/make-model.sh" </dev/null)
if [ "$command" = voice ]; then
  previous=
  for argument in "$@"; do
    if [ "$previous" = --in ] && [ "${argument%.wav}" != "$argument" ] && [ ! -e "$argument" ]; then
      say "There is no $argument: flite asks for the capital of France in it."
      "$root/build/release/rill-speech" --write "$argument" "What is the capital of France?" ||
        fail 1 "$argument could not be made: give a recording, or install flite1-dev and build again."
    fi
    previous=$argument
  done
fi
exec "$root/build/release/rill" "$command" "$model" "$@"
