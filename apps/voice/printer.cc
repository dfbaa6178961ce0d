#include "apps/voice/printer.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "apps/shown_text.h"

namespace rill::apps {
namespace {

constexpr int kMeterMarks = 24;  // of 2.5 dB: 60 dB in all

double rounded(double seconds) { return std::round(seconds * 1000) / 1000; }

std::string dump(const nlohmann::json& json) {
  return without_controls(json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void print_json(std::FILE* out, const VoiceReport& report) {
  nlohmann::json line = {{"t", rounded(report.t)}, {"state", name_of(report.state)}};
  if (report.heard != nullptr) line["heard"] = *report.heard;
  if (report.reply != nullptr) line["reply"] = *report.reply;
  if (report.spoken != nullptr) line["spoken"] = *report.spoken;
  if (report.wake != nullptr) line["wake"] = *report.wake;
  if (const VoiceLatency* l = report.latency; l != nullptr) {
    line["latency"] = {{"activity_s", rounded(l->activity)}, {"recognizer_s", rounded(l->recognizer)},
                       {"prefill_s", rounded(l->prefill)},   {"clause_s", rounded(l->clause)},
                       {"speaker_s", rounded(l->speaker)},   {"first_sample_s", rounded(l->total)}};
  }
  std::fprintf(out, "%s\n", dump(line).c_str());
  std::fflush(out);
}

void print_text(std::FILE* out, const VoiceReport& report) {
  const ShownText shown(out);
  std::fprintf(out, "%8.2f  ", report.t);
  if (report.heard != nullptr) {
    shown.write("> ");
    shown.write(report.heard->empty() ? "(nothing)" : *report.heard);
  } else if (report.reply != nullptr) {
    const bool is_whole = report.spoken != nullptr && *report.spoken == *report.reply;
    shown.write(*report.spoken);
    shown.write(is_whole ? "" : " ... (interrupted)");
  } else if (report.wake != nullptr) {
    shown.write("[woken] ");
    shown.write(*report.wake);
  } else {
    std::fprintf(out, "[%s]", name_of(report.state).data());
  }
  std::fputc('\n', out);
  std::fflush(out);
}

}  // namespace

std::string_view meter_line(VoiceState state, int peak, MeterLine& room) {
  const double level = 20 * std::log10(std::max(peak, 1) / 32768.0);  // -90 for silence
  const int marks = std::clamp(static_cast<int>(std::lround((level + 60) / 60 * kMeterMarks)), 0, kMeterMarks);
  constexpr const char* kFull = "########################";
  constexpr const char* kEmpty = "........................";
  const int size = std::snprintf(room.data(), room.size(), "%11.11s %.*s%.*s %3.0f dB", name_of(state).data(), marks,
                                 kFull, kMeterMarks - marks, kEmpty, level);
  return {room.data(), static_cast<std::size_t>(std::clamp(size, 0, static_cast<int>(room.size()) - 1))};
}

VoicePrinter::VoicePrinter(std::FILE* out, bool is_json)
    : out_(out), is_json_(is_json), has_meter_(!is_json && can_rewrite_a_line(out)) {}

void VoicePrinter::print(const VoiceReport& report) {
  const std::scoped_lock lock(mutex_);
  wipe_meter();
  if (report.failure != nullptr) {
    print_failure(report.failure->message());
  } else if (is_json_) {
    print_json(out_, report);
  } else {
    print_text(out_, report);
  }
}

void VoicePrinter::show_meter(VoiceState state, int peak) {
  MeterLine room;
  const std::string_view line = meter_line(state, peak, room);
  const std::scoped_lock lock(mutex_);
  std::fprintf(out_, "\r%.*s", static_cast<int>(line.size()), line.data());
  std::fflush(out_);
  is_meter_shown_ = true;
}

void VoicePrinter::wipe_meter() {
  if (!is_meter_shown_) return;
  std::fputs("\r\033[K", out_);
  std::fflush(out_);
  is_meter_shown_ = false;
}

}  // namespace rill::apps
