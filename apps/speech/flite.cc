// Flite: a small synthesiser, far faster than speech.

#ifdef RILL_HAS_FLITE
extern "C" {
#include <flite/flite.h>
cst_voice* register_cmu_us_slt(const char* voxdir);
}

#include "apps/speech/backends.h"

namespace rill::apps {

bool write_spoken(const std::string& file, const std::string& words) {
  flite_init();
  cst_voice* voice = register_cmu_us_slt(nullptr);
  return voice != nullptr && flite_text_to_speech(words.c_str(), voice, file.c_str()) > 0;
}

int run_flite(SpeechService& service) {
  flite_init();
  cst_voice* voice = register_cmu_us_slt(nullptr);
  if (voice == nullptr) {
    service.write("error", {{"text", "flite cannot load its voice slt"}});
    return 1;
  }
  return serve_speaker(service, [&](const std::string& text) {
    cst_wave* wave = flite_text_to_wave(text.c_str(), voice);
    if (wave == nullptr) return true;
    service.write_audio(static_cast<std::uint32_t>(wave->sample_rate),
                        {wave->samples, static_cast<std::size_t>(wave->num_samples)});
    delete_wave(wave);
    return true;
  });
}

}  // namespace rill::apps
#endif
