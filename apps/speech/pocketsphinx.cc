// PocketSphinx: a recogniser that hears while it is spoken to.

#ifdef RILL_HAS_POCKETSPHINX
#include <pocketsphinx.h>
#include <sphinxbase/err.h>

#include <cstdio>
#include <string>

#include "apps/speech/backends.h"

namespace rill::apps {

int run_pocketsphinx(SpeechService& service) {
  err_set_logfp(nullptr);  // thousands of lines about its model otherwise
  const std::string models = RILL_POCKETSPHINX_MODELS;
  cmd_ln_t* config = cmd_ln_init(nullptr, ps_args(), TRUE, "-hmm", (models + "/en-us/en-us").c_str(), "-lm",
                                 (models + "/en-us/en-us.lm.bin").c_str(), "-dict",
                                 (models + "/en-us/cmudict-en-us.dict").c_str(), nullptr);
  ps_decoder_t* decoder = config == nullptr ? nullptr : ps_init(config);
  if (decoder == nullptr) {
    service.write("error", {{"text", "PocketSphinx cannot load its English model (pocketsphinx-en-us)"}});
    return 1;
  }
  bool is_open = false;
  while (const std::optional<WyomingEvent> event = service.next()) {
    if (event->type == "audio-start") {
      if (is_open) ps_end_utt(decoder);
      is_open = ps_start_utt(decoder) == 0;
    } else if (event->type == "audio-chunk" && is_open) {
      // The reader's buffer has no alignment; samples need theirs.
      std::vector<int16> samples(event->payload.size() / sizeof(int16));
      std::copy_n(event->payload.data(), samples.size() * sizeof(int16), reinterpret_cast<char*>(samples.data()));
      ps_process_raw(decoder, samples.data(), samples.size(), FALSE, FALSE);
    } else if (event->type == "audio-stop" && is_open) {
      ps_end_utt(decoder);
      is_open = false;
      int32 score = 0;
      const char* words = ps_get_hyp(decoder, &score);
      service.write("transcript", {{"text", words == nullptr ? "" : words}});
    }
  }
  ps_free(decoder);
  cmd_ln_free_r(config);
  return 0;
}

}  // namespace rill::apps
#endif
