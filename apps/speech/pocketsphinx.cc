// PocketSphinx: a recogniser that hears while it is spoken to, and a search for one phrase in what is said.

#ifdef RILL_HAS_POCKETSPHINX
#include <pocketsphinx.h>
#include <sphinxbase/ckd_alloc.h>
#include <sphinxbase/err.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

#include "apps/speech/backends.h"

namespace rill::apps {
namespace {

// How sure the keyphrase search must be: low finds more, and more that was not said. README says what this one finds.
constexpr const char* kWakeThreshold = "1e-20";

/// With the English acoustic model and dictionary; for words at large with the language model as well. Null, and said
/// so, where they are not there.
ps_decoder_t* make_decoder(SpeechService& service, bool has_language, cmd_ln_t** config) {
  err_set_logfp(nullptr);  // thousands of lines about its model otherwise
  const std::string models = RILL_POCKETSPHINX_MODELS;
  *config = cmd_ln_init(nullptr, ps_args(), TRUE, "-hmm", (models + "/en-us/en-us").c_str(), "-dict",
                        (models + "/en-us/cmudict-en-us.dict").c_str(), "-kws_threshold", kWakeThreshold, nullptr);
  if (*config != nullptr && has_language) {
    cmd_ln_set_str_r(*config, "-lm", (models + "/en-us/en-us.lm.bin").c_str());
  }
  ps_decoder_t* const decoder = *config == nullptr ? nullptr : ps_init(*config);
  if (decoder == nullptr) {
    service.write("error", {{"text", "PocketSphinx cannot load its English model (pocketsphinx-en-us)"}});
  }
  return decoder;
}

void process(ps_decoder_t* decoder, std::span<const char> payload) {
  // The reader's buffer has no alignment; samples need theirs.
  std::vector<int16> samples(payload.size() / sizeof(int16));
  std::copy_n(payload.data(), samples.size() * sizeof(int16), reinterpret_cast<char*>(samples.data()));
  ps_process_raw(decoder, samples.data(), samples.size(), FALSE, FALSE);
}

bool knows_every_word(ps_decoder_t* decoder, const std::string& phrase) {
  std::istringstream words(phrase);
  for (std::string word; words >> word;) {
    char* const phones = ps_lookup_word(decoder, word.c_str());
    if (phones == nullptr) return false;
    ckd_free(phones);
  }
  return !phrase.empty();
}

/// Makes the search for the first of a `detect` event's names. False, and said so, where it has no such word.
bool listen_for(SpeechService& service, ps_decoder_t* decoder, const WyomingEvent& detect, std::string& phrase) {
  const auto names = detect.data.find("names");
  const bool has_name = names != detect.data.end() && names->is_array() && !names->empty() && (*names)[0].is_string();
  std::string wanted = has_name ? (*names)[0].get<std::string>() : std::string();
  std::transform(wanted.begin(), wanted.end(), wanted.begin(), [](unsigned char c) { return std::tolower(c); });
  if (!wanted.empty() && wanted == phrase) return true;
  // A search for words that it does not know would be made, and find nothing.
  if (!knows_every_word(decoder, wanted) || ps_set_keyphrase(decoder, "wake", wanted.c_str()) != 0 ||
      ps_set_search(decoder, "wake") != 0) {
    service.write("error", {{"text", "PocketSphinx's dictionary has not every word of \"" + wanted +
                                         "\": choose a phrase of English words, such as \"hey computer\""}});
    return false;
  }
  phrase = wanted;
  return true;
}

}  // namespace

int run_pocketsphinx(SpeechService& service) {
  cmd_ln_t* config = nullptr;
  ps_decoder_t* const decoder = make_decoder(service, /*has_language=*/true, &config);
  if (decoder == nullptr) return 1;
  bool is_open = false;
  while (const std::optional<WyomingEvent> event = service.next()) {
    if (event->type == "audio-start") {
      if (is_open) ps_end_utt(decoder);
      is_open = ps_start_utt(decoder) == 0;
    } else if (event->type == "audio-chunk" && is_open) {
      process(decoder, event->payload);
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

int run_pocketsphinx_wake(SpeechService& service) {
  cmd_ln_t* config = nullptr;
  ps_decoder_t* const decoder = make_decoder(service, /*has_language=*/false, &config);
  if (decoder == nullptr) return 1;
  std::string phrase;
  bool can_listen = false;
  bool is_open = false;
  while (const std::optional<WyomingEvent> event = service.next()) {
    if (event->type == "detect") {
      if (is_open) ps_end_utt(decoder);
      is_open = false;
      can_listen = listen_for(service, decoder, *event, phrase);
    } else if (event->type == "audio-start" && can_listen) {
      if (is_open) ps_end_utt(decoder);
      is_open = ps_start_utt(decoder) == 0;
    } else if (event->type == "audio-chunk" && is_open) {
      process(decoder, event->payload);
      int32 score = 0;
      if (ps_get_hyp(decoder, &score) == nullptr) continue;
      service.write("detection", {{"name", phrase}, {"timestamp", event->whole("timestamp").value_or(0)}});
      ps_end_utt(decoder);  // one a stream
      is_open = false;
    } else if (event->type == "audio-stop") {
      if (is_open) ps_end_utt(decoder);
      if (is_open) service.write("not-detected", nlohmann::json::object());
      is_open = false;
    }
  }
  ps_free(decoder);
  cmd_ln_free_r(config);
  return 0;
}

}  // namespace rill::apps
#endif
